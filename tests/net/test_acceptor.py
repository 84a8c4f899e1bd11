"""Accepting connections, with real sockets."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import Factory, define, field
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lbconsul.net.acceptor import AT_ONCE, Acceptor
from tests.support.loopback import connect, listening
from tests.support.recording_reactor import RecordingReactor

PAUSE = 0.5


@define
class _Kernel:
    """A listening socket for whose clients the kernel may lack something."""

    _sock: socket.socket
    #: What the next calls of accept(2) fail for.
    errors: list[int] = Factory(list)

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            raise OSError(self.errors.pop(0), "no")
        return self._sock.accept()


@define(eq=False)
class _Stage:
    """An acceptor, and what it passes on."""

    sock: socket.socket
    reactor: RecordingReactor = Factory(RecordingReactor)
    accepted: list[socket.socket] = Factory(list)
    starved: list[OSError] = Factory(list)
    kernel: Any = field(init=False)
    acceptor: Acceptor = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kernel = _Kernel(self.sock)
        self.acceptor = Acceptor(
            self.reactor,
            "takeover",
            self.kernel,
            lambda sock: self.accepted.append(sock.dup()),
            self.starved.append,
            PAUSE,
        )
        self.acceptor.start()

    def client(self) -> socket.socket:
        """A client that has connected."""
        return connect(self.sock.getsockname())


@pytest.fixture
def stage() -> Iterator[_Stage]:
    """An acceptor that runs."""
    with listening() as sock:
        sock.setblocking(False)
        stage = _Stage(sock)
        yield stage
        stage.acceptor.stop()
        for each in stage.accepted:
            each.close()


def test_accepting(stage: _Stage) -> None:
    """All connections are passed on, and none after the end."""
    assert verifyObject(IReadDescriptor, stage.acceptor)
    assert stage.acceptor.logPrefix() == "takeover"
    clients = [stage.client() for _ in range(AT_ONCE + 5)]
    stage.acceptor.doRead()
    assert len(stage.accepted) == AT_ONCE
    stage.reactor.settle()
    assert len(stage.accepted) == len(clients)
    assert not stage.accepted[0].getblocking()
    stage.accepted[0].sendall(b"you")
    assert clients[0].recv(9) == b"you"
    stage.acceptor.stop()
    assert not stage.reactor.reading()
    for each in clients:
        each.close()


def test_client_that_has_left(stage: _Stage) -> None:
    """A client that has left before it is accepted does not keep others waiting."""
    stage.kernel.errors.append(errno.ECONNABORTED)
    with stage.client():
        stage.acceptor.doRead()
    assert len(stage.accepted) == 1
    stage.acceptor.doRead()  # no client waits
    assert stage.starved == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_descriptors(stage: _Stage, number: int) -> None:
    """
    Without a descriptor the client is accepted a little later, without a busy loop. The
    owner is called each time, and may close another connection.
    """
    stage.kernel.errors += [number, number]
    with stage.client():
        for times in (1, 2):
            stage.reactor.settle()
            assert [each.errno for each in stage.starved] == [number] * times
            assert stage.accepted == []
            stage.reactor.advance(PAUSE)
        stage.reactor.settle()
    assert len(stage.accepted) == 1


def test_copy_without_a_descriptor(stage: _Stage) -> None:
    """The last descriptor may be the connection's own, with none left for a copy."""

    def adopt(sock: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    stage.acceptor._accepted = adopt
    with stage.client():
        stage.reactor.settle()
    assert [each.errno for each in stage.starved] == [errno.EMFILE]


def test_stopped_in_a_pause(stage: _Stage) -> None:
    """A stop during the pause works."""
    stage.kernel.errors.append(errno.EMFILE)
    with stage.client():
        stage.reactor.settle()
    stage.acceptor.stop()
    assert stage.reactor.getDelayedCalls() == []


def test_a_dropped_socket_is_logged(stage: _Stage) -> None:
    """Were the reactor to drop the socket, the log would say so."""
    with capturedLogs() as events:
        stage.acceptor.connectionLost(Failure(OSError("odd")))
    assert (
        formatEvent(events[0]) == "takeover: the reactor dropped the listening socket"
    )
