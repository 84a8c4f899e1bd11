"""Web servers to balance over, each of which closes with its connections."""

from typing import cast

from attrs import define
from twisted.application.service import Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.protocol import ServerFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class QuietSite(Site):
    """A site without an access log, and without the timer that formats its dates."""

    noisy = False

    def startFactory(self) -> None:
        pass

    def stopFactory(self) -> None:
        pass

    def log(self, request: http.Request) -> None:
        pass


class Connections(WrappingFactory):
    """Tracks the connections to a site, to end them together with it."""

    noisy = False
    _ended: Deferred[None] | None = None

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site)
        self._name = name

    def logPrefix(self) -> str:
        """Called by Twisted, which logs the port of each server that starts."""
        return self._name

    def abort(self) -> Deferred[None]:
        """Abort all connections; fires when the last of them is gone."""
        ended: Deferred[None] = Deferred()
        self._ended = ended
        for connection in list(self.protocols):
            connection.transport.abortConnection()
        self._tell_if_empty()
        return ended

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if self._ended is not None and not self.protocols:
            ended, self._ended = self._ended, None
            ended.callback(None)


@define(eq=False)
class WebServer(Service):
    """A web site as a service; `bind` opens its port, port 0 being any free one."""

    _reactor: IReactorTCP
    _host: str
    _wanted: int
    _root: Resource
    #: What it is, in the log.
    _name: str
    _connections: Connections | None = None
    _listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on, or will."""
        if self._listening is None:
            return self._wanted
        return cast(IPv4Address, self._listening.getHost()).port

    def is_bound(self) -> bool:
        return self._listening is not None

    def bind(self) -> None:
        """Open the port if it is closed; CannotListenError if that fails."""
        if self._listening is None:
            site = QuietSite(self._root, reactor=self._reactor)
            self._connections = Connections(site, self._name)
            factory = cast(ServerFactory, self._connections)
            self._listening = self._reactor.listenTCP(
                self._wanted, factory, interface=self._host
            )

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self.unbind())

    async def unbind(self) -> None:
        """Close the port and its connections; returns when they are gone."""
        listening, self._listening = self._listening, None
        if listening is not None and self._connections is not None:
            await maybeDeferred(listening.stopListening)
            await self._connections.abort()


@define(eq=False)
class Sample(Resource):
    """Answers every GET with one line."""

    isLeaf = True

    name: str
    port: int = 0
    answered: int = 0

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def render_GET(self, request: Request) -> bytes:
        self.answered += 1
        times = "time" if self.answered == 1 else "times"
        line = f"{self.name} on port {self.port} has answered {self.answered} {times}\n"
        request.setHeader("Content-Type", "text/plain; charset=utf-8")
        request.setHeader("X-Served-By", self.name)
        return line.encode()
