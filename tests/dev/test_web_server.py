"""A sample web server that can be made unhealthy."""

from typing import Any

from treq.testing import StubTreq
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from lbconsul.dev.web_server import Sample, WebServer


class Aborting(StringTransport):
    """
    A transport that reports the loss of its connection only when the test says so.
    """

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class WebServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.server = WebServer(
            self.reactor, "127.0.0.1", 8500, Resource(), "the catalog"
        )

    def test_binding_once(self) -> None:
        """
        A server that is bound already is not bound again by being started.
        """
        self.assertEqual(self.server.port, 8500)
        self.server.bind()
        self.server.privilegedStartService()
        self.server.startService()
        self.assertEqual(len(self.reactor.tcpServers), 1)
        port, _, _, interface = self.reactor.tcpServers[0]
        self.assertEqual((port, interface), (8500, "127.0.0.1"))
        self.successResultOf(self.server.stopService())
        self.assertFalse(self.server.is_bound())

    def test_name(self) -> None:
        """Twisted's line about the port names the server."""
        self.server.bind()
        factory: Any = self.reactor.tcpServers[0][1]
        self.assertEqual(factory.logPrefix(), "the catalog")

    def test_stopping_what_was_never_bound(self) -> None:
        """
        A server that has no port has nothing to close.
        """
        self.successResultOf(self.server.stopService())

    def test_stopping_ends_connections(self) -> None:
        """
        A server that stops cuts its connections, and has stopped when the last
        of them is gone.
        """
        self.server.bind()
        factory: Any = self.reactor.tcpServers[0][1]
        protocols = [factory.buildProtocol(None) for _ in range(2)]
        transports = [Aborting() for _ in protocols]
        for protocol, transport in zip(protocols, transports, strict=True):
            protocol.makeConnection(transport)
        protocols[0].connectionLost(None)
        stopped = self.server.stopService()
        self.assertEqual([t.aborted for t in transports], [False, True])
        self.assertNoResult(stopped)
        protocols[1].connectionLost(None)
        self.successResultOf(stopped)


class SampleTests(SynchronousTestCase):
    def test_who_answers(self) -> None:
        """Each answer names the server and counts its answers."""
        treq: Any = StubTreq(Sample("web-1", 9000))
        said = []
        for path in ("/", "/any/where"):
            response = self.successResultOf(treq.get(f"http://sample{path}"))
            said.append(self.successResultOf(treq.text_content(response)))
        self.assertEqual(
            said,
            [
                "web-1 on port 9000 has answered 1 time\n",
                "web-1 on port 9000 has answered 2 times\n",
            ],
        )
        self.assertEqual(response.headers.getRawHeaders("X-Served-By"), ["web-1"])
