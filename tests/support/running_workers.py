"""Workers that are real processes; what Consul says, the test says."""

import os
import random
import signal
import socket
from collections.abc import Sequence
from typing import Any

from twisted.logger import formatEvent

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.workers.data_plane import WorkerDataPlane
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import WorkerProcess
from tests.support.events import EventRecorder
from tests.support.loopback import connect, reset
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import WEB, instance
from tests.support.waiting import eventually

MAPPING = Mapping("web", TCPListen("127.0.0.1", 0))


class RunningWorkers:
    """A data plane with workers, in a reactor of its own."""

    def __init__(self, running: ReactorThread, count: int, *mappings: Mapping) -> None:
        self.running = running
        chance, self.observer = random.Random(1).random, EventRecorder()
        self.data_plane: WorkerDataPlane = running.call(
            WorkerDataPlane,
            running.reactor,
            count,
            chance,
            self.observer,
            ListeningSockets(),
            False,
        )
        self.registry = self.data_plane.registry
        for each in mappings:
            running.call(self.data_plane.listen, each)

    def start(self) -> None:
        """Start the data plane."""
        self.running.call(self.data_plane.privilegedStartService)
        self.running.call(self.data_plane.startService)

    def stop(self) -> None:
        """Stop the data plane, and wait until the workers are gone."""
        if self.data_plane.running:
            self.running.outcome(self.data_plane.stopService)

    def end(self) -> Any:
        """Stop; connections accepted and closed, and leases left."""
        self.stop()
        return self.running.call(self.data_plane.end)

    def replace(self, *instances: Any) -> None:
        """Let Consul say that these are the instances of web."""
        self.running.call(self.registry.replace, WEB.query, instances)

    def workers(self) -> dict[int, WorkerProcess]:
        """The workers by number."""
        return {each.number: each for each in self.data_plane.workers}

    @property
    def catalog(self) -> VersionedCatalog:
        """What the workers are sent."""
        return self.data_plane._publisher.catalog

    def traffic(self, mapping: Mapping = MAPPING) -> Any:
        """What is known of the connections of a mapping."""
        return self.running.call(self.data_plane.traffic, mapping)

    def wait_until_all_know(self) -> None:
        """Return once all workers serve, and have the catalog's last version."""
        version = self.catalog.version
        eventually(
            lambda: all(
                each.report.version >= version and each.report.serves
                for each in self.workers().values()
            ),
            "all know",
        )

    @property
    def address(self) -> Any:
        """Where the first mapping listens."""
        return next(iter(self.data_plane.sockets)).open().getsockname()


def of(server: socket.socket, name: str = "a", weight: int = 1) -> Any:
    """The instance that listens on a socket."""
    return instance(name, server.getsockname()[1], weight=weight)


def lines(events: Sequence[Any]) -> list[str]:
    """Lines of log, but for those of a start."""
    said = [formatEvent(event) for event in events]
    return [each for each in said if not each.startswith("balancing ")]


def kill_all(started: RunningWorkers) -> None:
    """Kill all workers, and wait until there are others."""
    old = {each.pid for each in started.workers().values() if each.pid}
    for pid in old:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def others() -> bool:
        workers = started.workers().values()
        return len(workers) == len(old) and not old & {each.pid for each in workers}

    eventually(others, "others came")


def refuses(address: Any) -> bool:
    try:
        reset(connect(address))
    except ConnectionResetError:
        return False  # it was closed just then
    except ConnectionRefusedError:
        return True
    return False
