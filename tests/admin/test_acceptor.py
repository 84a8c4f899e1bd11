"""Accepting connections, with real sockets."""

import errno
import socket
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from lbconsul.admin.acceptor import AT_ONCE, Acceptor
from lbconsul.admin.http_server import AdminFactory
from tests.support.in_reactor import run, until


class _Factory(AdminFactory):
    """Counts who comes, and how often somebody had to go."""

    came = 0
    room_made = 0

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.came += 1
        return super().buildProtocol(addr)

    def make_room(self) -> None:
        self.room_made += 1


def test_accepting() -> None:
    """All who come are served, and nobody after the end."""

    async def scenario(reactor: EPollReactor) -> None:
        factory = _Factory(reactor, lambda request: None)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            acceptor = Acceptor(reactor, sock, factory)
            acceptor.start()
            clients = [
                socket.create_connection(sock.getsockname()) for _ in range(AT_ONCE + 5)
            ]
            await until(reactor, lambda: factory.came == len(clients))
            assert acceptor.logPrefix() == "admin"
            acceptor.stop()
            clients.append(socket.create_connection(sock.getsockname()))
            await deferLater(reactor, 0.05)
            assert factory.came == len(clients) - 1
        for each in clients:
            each.close()
        await factory.cut_all()

    run(scenario)


class _Starved:
    """A listening socket to which the kernel gives no descriptor for a while."""

    family = socket.AF_INET

    def __init__(self, sock: socket.socket, *errors: int) -> None:
        self._sock, self._errors = sock, list(errors)

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            raise OSError(self._errors.pop(0), "no")
        return self._sock.accept()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_descriptors(number: int) -> None:
    """
    Without a descriptor for a client the one that has been idle for longest goes,
    and the client is served a little later, without a busy loop.
    """

    async def scenario(reactor: EPollReactor) -> None:
        factory = _Factory(reactor, lambda request: None)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            starved: Any = _Starved(sock, errno.ECONNABORTED, number, number)
            acceptor = Acceptor(reactor, starved, factory)
            acceptor.start()
            client = socket.create_connection(sock.getsockname())
            await until(reactor, lambda: factory.came == 1)
            assert factory.room_made == 2
            starved._errors.append(number)
            socket.create_connection(sock.getsockname()).close()
            await until(reactor, lambda: factory.room_made == 3)
            acceptor.stop()  # while it waits
            client.close()
        await factory.cut_all()

    run(scenario)
