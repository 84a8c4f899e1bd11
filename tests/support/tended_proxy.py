"""
A proxy that a test turns by hand, with its periodic work, and the servers that its
clients reach.
"""

import random
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any
from unittest.mock import patch

from attrs import Factory, define, evolve

from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.split import LocalCredits
from lbconsul.balance.upstream import Upstream
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.net.periodic import Periodic
from lbconsul.proxy.access_log import ConnectionLog
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.handler import handler_of
from lbconsul.proxy.handshake_settings import TLSAcceptor
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.split import ProxySplit, joined
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.mappings import altered
from tests.support.proxy_observer import CountingObserver
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import instance


@define(eq=False)
class Server:
    """What an instance leads to."""

    name: str
    sock: socket.socket
    _accepted: list[socket.socket] = Factory(list)
    _heard: list[str] = Factory(list)

    def instance(self, **changes: Any) -> Instance:
        """It, as Consul knows it."""
        known = instance(self.name, self.sock.getsockname()[1])
        return evolve(known, **changes)

    def heard(self) -> list[str]:
        """The names of the clients that were joined, in their order."""
        loopback.arrive()
        with suppress(BlockingIOError):
            while True:
                accepted, _ = self.sock.accept()
                self._accepted.append(accepted)
                accepted.setblocking(False)
                with suppress(BlockingIOError, ConnectionResetError):
                    self._heard.append(accepted.recv(100).decode())
        return self._heard

    def close(self) -> None:
        """No new connection is accepted, and none that there was lives on."""
        for each in (*self._accepted, self.sock):
            each.close()


class TendedProxy:
    """Mappings of one process, over what the test says that Consul says."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self.reactor = RecordingReactor()
        seconds = self.reactor.seconds
        self.registry = Registry(random.Random(1).random, seconds=seconds)
        self._periodic = Periodic(self.reactor)
        self._periodic.add(self.registry)
        self._periodic.start()
        self._proxies: list[MappingProxy] = []
        #: Whether Consul has answered for all mappings.
        self.is_answered = True
        #: How connections ended, by the names of their clients, in this order.
        self.endings: dict[str, str] = {}
        #: When they did, and by the name of what instance.
        self.times: dict[str, float] = {}
        self.left: dict[str, str] = {}
        #: What their handshakes told, if they had one.
        self.infos: dict[str, ClientInfo | None] = {}
        held.enter_context(patch.object(ConnectionLog, "tell", self._tell))
        held.callback(self._close)

    def serve(
        self,
        service: str = "web",
        acceptor: TLSAcceptor | None = None,
        route: str = "",
        **options: Any,
    ) -> MappingProxy:
        """A mapping or route, of the service web where nothing else is said."""
        return self.serve_row(
            altered(Mapping(service, route=route), **options), acceptor
        )

    def serve_split(self, text: str) -> list[MappingProxy]:
        """The proxies of a mapping with a split: of the rest, then of the parts."""
        [mapping] = configure([], [text]).mappings
        proxies = [self.serve_row(row) for row in mapping.rows]
        joined(proxies, self)
        return proxies

    def split_of(self, proxies: Sequence[MappingProxy]) -> ProxySplit[MappingProxy]:
        return ProxySplit.of(proxies, LocalCredits.of(len(proxies)))

    def serve_row(
        self, mapping: Mapping, acceptor: TLSAcceptor | None = None
    ) -> MappingProxy:
        """A row of a configuration."""
        failover = self.registry.failover(failover_spec(mapping))
        reactor, observer = self.reactor, CountingObserver()
        mapped = MappingProxy(
            reactor,
            reactor,
            failover,
            mapping,
            observer,
            acceptor=acceptor,
            is_answered=lambda: self.is_answered,
        )
        self._proxies.append(mapped)
        self._periodic.add(mapped)
        return mapped

    def register(self, *who: Instance, service: str = "web", dc: str = "") -> None:
        """Consul says that these are the instances of a service."""
        self.registry.replace(ServiceQuery(service, dc), who)

    def server(self, name: str) -> Server:
        """A server that accepts."""
        sock = loopback.listening(backlog=4096)
        sock.setblocking(False)
        server = Server(name, sock)
        self._held.callback(server.close)
        return server

    def refusing(self, name: str) -> Instance:
        """An instance that refuses."""
        return instance(name, self._held.enter_context(loopback.refusing()))

    def connect(self, mapped: MappingProxy, name: str) -> socket.socket:
        """A client that says its name; or nothing, if that begins with a blank."""
        ours, peer = loopback.tcp_pair()
        self._held.enter_context(peer)
        if not name.startswith(" "):
            peer.sendall(name.encode())
        self.accept(mapped, ours, name)
        return peer

    def accept(
        self, mapped: MappingProxy, ours: socket.socket, address: object
    ) -> None:
        """The client at the other end of this socket is accepted."""
        handler_of(mapped)(ours, address)
        self._join()

    def connect_all(
        self, mapped: MappingProxy, names: Iterable[str]
    ) -> dict[str, socket.socket]:
        """Several of them."""
        return {name: self.connect(mapped, name) for name in names}

    def leave(self, client: socket.socket) -> None:
        """A client goes away, so that its connection ends at once."""
        loopback.reset(client)
        self.reactor.settle()

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass as it does, a little at a time."""
        for _ in range(round(seconds / step)):
            self.reactor.advance(step)
            self.reactor.turn(0)
        self._join()

    def _join(self) -> None:
        """Let an upstream accept, and hear what its client has said."""
        for _ in range(3):
            self.reactor.turn(0)

    def is_drained(self) -> bool:
        """Whether nothing is open or counted, and only periodic work has a timer."""
        self.reactor.pump([60.0, 60.0])  # an empty sweeper ends in a round
        return not (
            any(each.open for each in self._proxies)
            or self.registry.open_connections()
            or self.reactor.reading() | self.reactor.writing()
            or len(self.reactor.getDelayedCalls()) > 1
        )

    def _tell(
        self,
        address: object,
        accepted_at: float,
        upstream: Upstream | None,
        received: int,
        sent: int,
        retries: int,
        termination: Termination,
        info: ClientInfo | None = None,
    ) -> None:
        """In the place of the log."""
        name = str(address)
        assert name not in self.endings, "it ended twice"
        self.endings[name] = termination.code
        self.times[name] = self.reactor.seconds()
        self.infos[name] = info
        self.left[name] = upstream.instance.identity.service_id if upstream else ""

    def _close(self) -> None:
        for mapped in self._proxies:
            mapped.close_connections()
        self._periodic.stop()
        self.reactor.advance(60.0)
        assert not self.reactor.getDelayedCalls()
        assert not self.registry.open_connections()
