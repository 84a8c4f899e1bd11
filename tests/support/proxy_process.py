"""A proxy in a process of its own, to be measured from outside.

usage: python -m tests.support.proxy_process UPSTREAM_PORT DESCRIPTORS OPTIONS

It prints its port, and ends with its input; at the end it prints how many
connections it accepted, how many are open, and how many leases.
"""

import json
import os
import resource
import sys
import tempfile
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.logger import globalLogBeginner, textFileLogObserver

from lbconsul.net.poller import open_poller
from tests.support.in_reactor import input_ended
from tests.support.mappings import altered
from tests.support.program import OwnProgram
from tests.support.running_proxy import MAPPING, active_listener
from tests.support.upstreams import instance, registry_of
from tests.support.waiting import PATIENCE


class Summary(NamedTuple):
    """What a proxy process says at its end, and its log."""

    accepted: int
    open: int
    leases: int
    log: str


class ProxyProcess(OwnProgram):
    """A proxy whose one upstream listens on a port of loopback."""

    def __init__(
        self, upstream_port: int, descriptors: int = 1024, **options: object
    ) -> None:
        module = ["-m", "tests.support.proxy_process"]
        arguments = [str(upstream_port), str(descriptors), json.dumps(options)]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        super().__init__([sys.executable, *module, *arguments], errors=self._log)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", int(self.said)

    def stop(self) -> Summary:
        """End it; it must end well."""
        said = self.end(timeout=PATIENCE)
        self._log.seek(0)
        log = self._log.read()
        assert "Traceback" not in log, log
        accepted, open_, leases = json.loads(said)
        return Summary(accepted, open_, leases, log)

    def cpu(self) -> float:
        """The processor time that it has used, in seconds."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """The memory that it holds, in bytes."""
        return int(self._proc("statm").split()[1]) * resource.getpagesize()

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _proc(self, name: str) -> str:
        with open(f"/proc/{self.pid}/{name}") as file:
            return file.read()


async def serve(reactor: Any, upstream_port: int, options: dict[str, Any]) -> None:
    """Run the proxy until the standard input ends."""
    registry = registry_of(instance("a", upstream_port))
    mapping = altered(MAPPING, **options)
    active = active_listener(reactor, open_poller(reactor), registry, mapping)
    active.accept()
    assert active.listener is not None
    address = active.listener.address
    assert isinstance(address, tuple)
    ended = input_ended(reactor)
    await deferLater(reactor, 0)  # the reactor has opened what it needs by then
    print(address[1], flush=True)
    await ended
    active.close()
    mapped = active.proxy
    print(json.dumps([mapped.accepted, mapped.open, registry.open_connections()]))
    mapped.close_connections()


def main(upstream_port: str, descriptors: str, options: str) -> None:
    """Serve with no more than so many descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), int(descriptors)))
    observer = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    port, altering = int(upstream_port), json.loads(options)
    react(lambda reactor: Deferred.fromCoroutine(serve(reactor, port, altering)))


if __name__ == "__main__":
    main(*sys.argv[1:])
