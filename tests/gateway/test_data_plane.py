"""Who serves, and what the gateway knows of it; most is told by the gateway's tests."""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.config.diff import finish
from lbconsul.config.model import Config, Drain, Mapping, TCPListen, UnixListen
from lbconsul.errors import CannotListen
from lbconsul.gateway.data_plane import DataPlane
from tests.support.loopback import accept, connect, listening
from tests.support.mappings import altered
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread, eventually
from tests.support.upstreams import instance

WEB = ServiceQuery("web")
CONFIG = configure([], ["80:web"])


@pytest.fixture
def running() -> Iterator[ReactorThread]:
    """A reactor."""
    with ReactorThread() as reactor:
        yield reactor


def data_plane_of(running: ReactorThread, config: Config = CONFIG) -> DataPlane:
    """A data plane without anything to serve."""
    return running.call(DataPlane, running.reactor, config, lambda: 0.0, {})


def end(running: ReactorThread, data_plane: DataPlane) -> tuple[int, int, int]:
    """Stop, and close all."""
    running.outcome(data_plane.stopService)
    return running.call(data_plane.end)


def mapping(port: int, **options: Any) -> Mapping:
    """A mapping of web."""
    return altered(Mapping("web", TCPListen("127.0.0.1", port)), **options)


def test_added_sockets(running: ReactorThread) -> None:
    """Of sockets to be added all are open, or none is."""
    data_plane = data_plane_of(running)
    free, other = free_ports(2)
    with listening() as taken:
        busy = mapping(taken.getsockname()[1])
        with pytest.raises(CannotListen):
            finish(data_plane.binding([mapping(free), busy, mapping(other)]))
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", free))
    for each in finish(data_plane.binding([mapping(free), mapping(other)])):
        connect(each.open().getsockname()).close()
        each.close()
    assert data_plane.sockets == []


@pytest.mark.process
@pytest.mark.parametrize("workers", [1, 2])
def test_counts(running: ReactorThread, workers: int) -> None:
    """Connections count wherever they are served, and so do drain timeouts."""
    data_plane = data_plane_of(running, evolve(CONFIG, workers=workers))
    [port] = free_ports(1)
    data_plane.listen(mapping(port, drain_timeout=7.0))
    lent = running.call(data_plane.lend, Mapping("own", drain=Drain(timeout=9.0)))
    assert data_plane.longest_drain == 9.0
    assert lent.mapping in data_plane.mappings
    running.call(data_plane.privilegedStartService)
    running.call(data_plane.startService)
    with listening() as server:
        one = instance("a", server.getsockname()[1])
        running.call(data_plane.registry.replace, WEB, [one])
        with connect(("127.0.0.1", port)), accept(server):
            eventually(lambda: running.call(lambda: data_plane.open) == 1, "it is open")
            running.call(data_plane.forget, [ServiceQuery("nobody asked this")])
            assert end(running, data_plane) == (1, 1, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_forgets(running: ReactorThread, workers: int) -> None:
    """Answers that no mapping needs are forgotten."""
    data_plane = data_plane_of(running, evolve(CONFIG, workers=workers))
    one, two = free_ports(2)
    data_plane.listen(mapping(one))
    other = evolve(mapping(two), service="mail")
    data_plane.listen(other)
    for question in (WEB, ServiceQuery("mail")):
        running.call(data_plane.registry.replace, question, [])
    running.call(data_plane.replace, [other], [], True)
    assert [str(each.mapping) for each in data_plane.sockets] == [str(other)]
    assert not data_plane.registry.answered(WEB)
    assert data_plane.registry.answered(ServiceQuery("mail"))
    end(running, data_plane)


def test_mode_that_cannot_be(running: ReactorThread) -> None:
    """That permissions cannot be given is told, and no more."""
    data_plane = data_plane_of(running)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/web.sock"
        unix = Mapping("web", UnixListen(path))
        data_plane.listen(unix)
        running.call(data_plane.bind)
        os.unlink(path)
        with capturedLogs() as events:
            running.call(data_plane.replace, [evolve(unix, unix_mode=0o600)], [], True)
        data_plane.close()
    assert [formatEvent(each) for each in events] == [
        f"unix:{path}:web: its file cannot be given mode 600: No such file or directory"
    ]
    running.call(data_plane.end)
