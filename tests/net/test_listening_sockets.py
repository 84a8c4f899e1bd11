"""The listening sockets of a gateway, before and while it serves."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.steps import finish
from tests.support.loopback import connect, listening
from tests.support.ports import free_ports


def mapping(port: int, **options: Any) -> Mapping:
    """A mapping of web."""
    return Mapping("web", TCPListen("127.0.0.1", port), **options)


def is_refused(port: int) -> bool:
    """Whether nothing listens on a port."""
    try:
        connect(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_added_while_it_runs() -> None:
    """A socket that is added at once is open, or is not added."""
    sockets = ListeningSockets()
    [free] = free_ports(1)
    with listening() as taken, pytest.raises(CannotListen):
        sockets.add(mapping(taken.getsockname()[1]), at_once=True)
    assert len(sockets) == 0
    sock = sockets.add(mapping(free), at_once=True)
    assert sock in sockets
    assert not is_refused(free)
    sockets.close()
    assert is_refused(free)


def test_before_the_start() -> None:
    """Sockets can be opened before the start, and closed without one."""
    sockets = ListeningSockets()
    [free] = free_ports(1)
    with listening() as taken:
        for port in (free, taken.getsockname()[1]):
            sockets.add(mapping(port), at_once=False)
        assert is_refused(free)
        with pytest.raises(CannotListen):
            sockets.bind()
        assert not is_refused(free)
        sockets.close()
    assert is_refused(free)


def test_binding() -> None:
    """Of the sockets of a reload all are open, or none is."""
    sockets = ListeningSockets()
    free, other = free_ports(2)
    with listening() as taken:
        busy = mapping(taken.getsockname()[1])
        with pytest.raises(CannotListen):
            finish(sockets.binding([mapping(free), busy, mapping(other)]))
    assert is_refused(free)
    with ExitStack() as held:
        for each in finish(sockets.binding([mapping(free), mapping(other)])):
            held.callback(each.close)
        assert not is_refused(free)
    assert list(sockets) == []


def test_replace() -> None:
    """A mapping keeps its socket; a new one has that which was opened for it."""
    sockets = ListeningSockets()
    first, second, third = map(mapping, free_ports(3))
    stays, _ = (sockets.add(each, at_once=False) for each in (first, second))
    altered = evolve(first, service="mail")
    [added] = finish(sockets.binding([third]))
    assert sockets.replace([third, altered], [added]) == [
        (third, added),
        (altered, stays),
    ]
    assert list(sockets) == [added, stays]
    sockets.alter(stays, altered)
    assert stays.mapping == altered
    sockets.close()


def test_files_only(tmp_path: Path) -> None:
    """UNIX sockets can be opened as another user than TCP sockets."""
    sockets = ListeningSockets()
    [port] = free_ports(1)
    path = tmp_path / "web.sock"
    sockets.add(mapping(port), at_once=False)
    sockets.add(Mapping("web", UnixListen(str(path))), at_once=False)
    sockets.bind_files()
    assert path.exists()
    assert is_refused(port)
    sockets.close()
    assert not path.exists()


def test_mode_that_cannot_be(tmp_path: Path) -> None:
    """If the mode of a UNIX socket's file cannot be changed, the log says so."""
    path = str(tmp_path / "web.sock")
    unix = Mapping("web", UnixListen(path))
    sockets = ListeningSockets()
    sock = sockets.add(unix, at_once=True)
    os.unlink(path)
    with capturedLogs() as events:
        sockets.alter(sock, evolve(unix, unix_mode=0o600))
    sockets.close()
    assert [formatEvent(each) for each in events] == [
        f"unix:{path}:web: the socket's file cannot be set to mode 600: No such file"
        " or directory"
    ]
