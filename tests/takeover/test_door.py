"""The door at which a gateway waits for its successor."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lbconsul.takeover.door import Door
from tests.support.loopback import connect
from tests.support.recording_reactor import RecordingReactor


class Somebody:
    """Who came, and the door."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "lb.sock")
        self.reactor = RecordingReactor()
        self.came: list[socket.socket] = []
        self.door = Door(
            self.reactor, self.path, lambda sock: self.came.append(sock.dup())
        )

    def __enter__(self) -> "Somebody":
        return self

    def __exit__(self, *error: object) -> None:
        self.door.close(clear=True)
        for each in self.came:
            each.close()


def test_opened_and_closed(tmp_path: Path) -> None:
    """Whoever comes is passed on, until it is closed; then the file is gone."""
    with Somebody(tmp_path) as here:
        here.door.close(clear=True)
        assert here.door.fileno() == -1
        here.door.open()
        assert verifyObject(IReadDescriptor, here.door)
        assert here.door.logPrefix() == "takeover"
        with connect(here.path) as one, connect(here.path) as two:
            here.reactor.settle()
            assert len(here.came) == 2
            assert not here.came[0].getblocking()
            here.came[0].sendall(b"you")
            here.came[1].sendall(b"too")
            assert one.recv(9) + two.recv(9) == b"youtoo"
        here.door.close(clear=True)
        assert os.listdir(tmp_path) == []
        assert not here.reactor.reading()


def test_nobody_after_all(tmp_path: Path) -> None:
    """One that is gone already is no matter."""
    with Somebody(tmp_path) as here:
        here.door.open()
        here.door.doRead()
        assert here.came == []


def test_left_to_others(tmp_path: Path) -> None:
    """The file stays where it is another's by now, or is to be."""
    with Somebody(tmp_path) as old, Somebody(tmp_path) as new:
        old.door.open()
        new.door.open()
        old.door.close(clear=True)
        with connect(new.path):
            new.reactor.settle()
            assert len(new.came) == 1
        new.door.close(clear=False)
        assert os.listdir(tmp_path) == ["lb.sock"]


def test_out_of_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody can be let in it says so and waits, rather than spin."""

    class Exhausted:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    with Somebody(tmp_path) as here, connect_later(here) as client:
        sock = here.door._sock
        assert sock is not None
        here.door._sock = Exhausted(sock)  # type: ignore[assignment]
        with capturedLogs() as events:
            here.reactor.settle()
        assert [formatEvent(each) for each in events] == [
            f"{here.path}: nobody can be let in: Too many open files"
        ]
        here.door._sock = sock
        here.reactor.settle()
        assert here.came == []
        here.reactor.advance(1.0)
        here.reactor.settle()
        assert len(here.came) == 1
        here.door._sock = Exhausted(sock)  # type: ignore[assignment]
        client.close()
        with connect(here.path):
            here.reactor.settle()
        here.door.close(clear=True)
        assert here.reactor.getDelayedCalls() == []


def connect_later(here: Somebody) -> socket.socket:
    """A client that is in the queue."""
    here.door.open()
    return connect(here.path)


def test_lost(tmp_path: Path) -> None:
    """Were the reactor to give it up, the log would say so."""
    with Somebody(tmp_path) as here, capturedLogs() as events:
        here.door.connectionLost(Failure(OSError("odd")))
        assert formatEvent(events[0]) == f"{here.path}: the socket is lost"
