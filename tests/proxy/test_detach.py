"""Sockets taken out of Twisted's transports."""

import contextlib
import socket
import tempfile
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from lbconsul.proxy.detach import SocketDetacher
from tests.support import loopback
from tests.support.recording_reactor import RecordingReactor


class Adopting(Factory):
    """Notes every socket that a listening port of Twisted's has come by."""

    noisy = False

    def __init__(self) -> None:
        self.taken: list[tuple[socket.socket, object]] = []

    def buildProtocol(self, address: IAddress | None) -> Protocol:
        return SocketDetacher(lambda sock, peer: self.taken.append((sock, peer)))


class AdoptTests(SynchronousTestCase):
    """A protocol that keeps the socket and lets the transport go."""

    def setUp(self) -> None:
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)
        self.reactor = RecordingReactor()
        self.factory = Adopting()

    def listen(self, port: Any) -> Any:
        """Let a port of Twisted's listen; where it does."""
        port.startListening()
        self.addCleanup(port.connectionLost, None)
        return port.socket.getsockname()

    def adopt(self) -> tuple[socket.socket, object]:
        """The next socket that was taken, and its peer's address."""
        self.reactor.turn_until(lambda: bool(self.factory.taken))
        sock, address = self.factory.taken.pop()
        self.held.enter_context(sock)
        return sock, address

    def test_tcp(self) -> None:
        """
        A client of an endpoint becomes a bare socket: nothing of what it said
        is lost, it does not block, it sends small pieces at once, and the
        reactor has forgotten the transport.
        """
        port = tcp.Port(0, self.factory, interface="127.0.0.1", reactor=self.reactor)
        listening = self.listen(port)
        with loopback.connect(listening) as client:
            client.sendall(b"hello")
            sock, address = self.adopt()
            self.assertEqual(address, client.getsockname())
            self.assertFalse(sock.getblocking())
            self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            self.assertEqual(sock.recv(100), b"hello")
            self.assertEqual(self.reactor.reading(), {port.fileno()})
            self.assertEqual(self.reactor.writing(), set())
            sock.send(b"answer")
            self.assertEqual(client.recv(100), b"answer")

    def test_unix(self) -> None:
        """So does a client of a UNIX socket."""
        folder = self.held.enter_context(tempfile.TemporaryDirectory())
        path = f"{folder}/web.sock".encode()
        listening = self.listen(unix.Port(path, self.factory, reactor=self.reactor))
        with loopback.connect(listening) as client:
            sock, address = self.adopt()
            self.assertEqual((sock.family, address), (socket.AF_UNIX, ""))
            client.sendall(b"hello")
            self.assertEqual(sock.recv(100), b"hello")

    def test_client_that_left_at_once(self) -> None:
        """One whose client is gone already is handed on: the dial finds out."""
        port = tcp.Port(0, self.factory, interface="127.0.0.1", reactor=self.reactor)
        loopback.reset(loopback.connect(self.listen(port)))
        _, address = self.adopt()
        self.assertEqual(address, ("?", 0))

    def test_no_socket(self) -> None:
        """Another transport is closed, and the log says why."""
        encrypted = StringTransportWithDisconnection()
        alsoProvides(encrypted, ISSLTransport)
        for transport in (StringTransportWithDisconnection(), encrypted):
            protocol = self.factory.buildProtocol(None)
            transport.protocol = protocol
            with capturedLogs() as events:
                protocol.makeConnection(transport)
            self.assertEqual(
                [formatEvent(event) for event in events],
                [
                    "ProxyFactory needs an endpoint of plain sockets,"
                    f" not {type(transport).__name__}"
                ],
            )
            self.assertFalse(transport.connected)
            self.assertEqual(self.factory.taken, [])
