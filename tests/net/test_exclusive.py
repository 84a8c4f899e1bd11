"""Which of the processes that share a listening socket are woken for a client."""

import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import pytest
from attrs import Factory, define
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.pollreactor import PollReactor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.net.exclusive import wake_one
from tests.support.loopback import connect, listening
from tests.support.waiting import eventually

CLIENTS = 30


@implementer(IReadDescriptor)
@define(eq=False)
class Waiter:
    """Waits for clients with a reactor of its own, as a process does."""

    sock: socket.socket
    reactor: EPollReactor = Factory(EPollReactor)
    woken: int = 0
    accepted: int = 0
    is_over: bool = False

    def run(self) -> None:
        while not self.is_over:
            self.reactor.doIteration(0.05)

    def doRead(self) -> None:
        self.woken += 1
        time.sleep(0.002)  # so that others that were woken, too, find the client
        try:
            self.sock.accept()[0].close()
        except BlockingIOError:
            return
        self.accepted += 1

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "waiter"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""


def test_one_of_several_is_woken() -> None:
    """For each client one process is woken, and no other one for nothing."""
    with ExitStack() as held:
        sock = held.enter_context(listening())
        sock.setblocking(False)
        waiters = [Waiter(sock) for _ in range(3)]
        for each in waiters:
            each.reactor.addReader(each)
            assert wake_one(each.reactor, sock.fileno())
        threads = [threading.Thread(target=each.run) for each in waiters]
        for thread in threads:
            thread.start()
        for number in range(1, CLIENTS + 1):
            connect(sock.getsockname()).close()
            is_accepted = partial(_have_accepted, waiters, number)
            eventually(is_accepted, "the client is accepted")
        for each in waiters:
            each.is_over = True
        for thread in threads:
            thread.join()
        assert sum(each.woken for each in waiters) == CLIENTS
        for each in waiters:
            each.reactor.removeReader(each)
            assert each.reactor.getReaders() == [each.reactor.waker]
            each.reactor.waker.connectionLost(Failure(ConnectionDone()))


def _have_accepted(waiters: Sequence[Waiter], clients: int) -> bool:
    return sum(each.accepted for each in waiters) == clients


def test_reactor_without_epoll() -> None:
    """A reactor that cannot goes on as before."""
    with listening() as sock:
        waiter, reactor = Waiter(sock), PollReactor()
        reactor.addReader(waiter)
        assert not wake_one(reactor, sock.fileno())
        assert waiter in reactor.getReaders()
        for each in (reactor, waiter.reactor):
            each.waker.connectionLost(Failure(ConnectionDone()))


def test_kernel_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that refuses goes on to wake each process."""
    refused = select.EPOLLEXCLUSIVE | select.EPOLLONESHOT
    monkeypatch.setattr(select, "EPOLLEXCLUSIVE", refused)
    with listening() as sock:
        sock.setblocking(False)
        waiter = Waiter(sock)
        waiter.reactor.addReader(waiter)
        assert not wake_one(waiter.reactor, sock.fileno())
        connect(sock.getsockname()).close()
        waiter.reactor.doIteration(5)
        assert waiter.accepted == 1
        waiter.reactor.removeReader(waiter)
        waiter.reactor.waker.connectionLost(Failure(ConnectionDone()))
