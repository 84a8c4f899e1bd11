"""The registrations of a gateway in Consul: which there are, and how each goes."""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, define, evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.admin.status_model import RegistrationStatus
from lbconsul.consul.agent_services import AgentServices
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.host_lookup import look_up
from lbconsul.consul.registrar import Registrar
from lbconsul.consul.registration import Registration, registration
from lbconsul.consul.resolver import HostResolver
from lbconsul.gateway.interfaces import Gateway
from lbconsul.gateway.readiness import why_not_ready
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.process.clock import WallClock
from lbconsul.proxy.own_listeners import HostAddresses, bound_to


@define(eq=False, repr=False)
class Registrations(Service):
    """Registers the listening addresses whose mappings have ``register``."""

    _log = Logger()
    _reactor: Any
    _gateway: Gateway
    _client: ConsulClient
    _chance: Callable[[], float]
    #: Whether a predecessor keeps the registrations, and whether a successor does.
    _is_pending: Callable[[], bool]
    _is_handing_over: Callable[[], bool]
    #: Resolves the host of the agent; None: by the hosts file and DNS.
    _resolver: IHostnameResolver | None = None
    _registrar: Registrar = Factory(lambda self: self._new_registrar(), takes_self=True)
    _wall: WallClock = Factory(
        lambda self: WallClock(self._reactor.seconds), takes_self=True
    )
    #: Whether the log has told of a registration with the agent's address.
    _has_checked: bool = False

    def _new_registrar(self) -> Registrar:
        return Registrar(
            self._reactor,
            AgentServices(self._client),
            self._chance,
            lambda: why_not_ready(self._gateway),
            lambda: not self._is_pending(),
            self._check_address,
        )

    def learn(self) -> None:
        """The gateway listens where it does now: register that."""
        self._registrar.replace(self._wanted())

    def _wanted(self) -> Iterator[Registration]:
        sockets = self._gateway.data_plane.sockets
        yield from registrations_of(sockets)
        by_listen = {each.mapping.listen: each for each in sockets}
        for mapping, name in self._gateway.registered_as:
            each = by_listen.get(mapping.listen)
            bound = None if each is None else bound_to(mapping.listen, each.sock)
            if bound is not None and bound.port:
                named = evolve(mapping, register=evolve(mapping.register, name=name))
                yield registration(named, bound.host, bound.port)

    def use_client(self, client: ConsulClient) -> None:
        """Register with this client's agent from now on."""
        self._registrar.use_client(client)

    def inherit(self, state: object) -> None:
        """Keep what a predecessor has registered."""
        self._registrar.inherit(state)

    def state(self) -> AbstractMapping[str, object]:
        """What a successor needs to keep the registrations."""
        return self._registrar.state()

    def leave(self) -> Deferred[None]:
        """Deregister, unless a successor keeps the registrations.

        Fires when that is done, or has taken too long.
        """
        if self._is_handing_over():
            self._registrar.hand_over()
            return succeed(None)
        return self._registrar.leave()

    def states(self) -> tuple[RegistrationStatus, ...]:
        """The registrations, as the status shows them."""
        return tuple(
            RegistrationStatus(
                id=each.wanted.id,
                service=each.wanted.name,
                mapping=each.wanted.mapping,
                address=each.wanted.address,
                port=each.wanted.port,
                state=each.state.value,
                reason=each.reason,
                since=self._wall.at(each.since) if each.since else None,
            )
            for each in self._registrar.keepers()
        )

    def startService(self) -> None:
        super().startService()
        self._registrar.startService()

    def stopService(self) -> None:
        super().stopService()
        self._registrar.stopService()

    def _check_address(self, new: Registration) -> None:
        """Warn if it has the address of an agent on another host."""
        agent = self._gateway.config.consul.addresses[0]
        if new.address or agent.scheme == "unix" or self._has_checked:
            return
        self._has_checked = True
        found = look_up(self._resolver or HostResolver(self._reactor), agent.host)
        found.addCallback(self._warn_of_address, new)
        found.addErrback(lambda why: self._log.failure("a bug in lbconsul", why))

    def _warn_of_address(self, addresses: list[str], new: Registration) -> None:
        ours = HostAddresses(self._reactor.seconds)
        if addresses and not any(map(ours.has, addresses)):
            self._log.warn(
                "{name}: registered with the address of the agent at {agent}, which is"
                " not this host's: give register-address=, unless port {port} there"
                " leads here",
                name=new.name,
                agent=str(self._gateway.config.consul.addresses[0]),
                port=new.port,
            )


def registrations_of(sockets: Iterable[OwnedSocket]) -> Iterator[Registration]:
    """The registrations of these sockets; UNIX sockets have none."""
    for each in sockets:
        if each.mapping.register.name:
            bound = bound_to(each.mapping.listen, each.sock)
            if bound is not None and bound.port:
                yield registration(each.mapping, bound.host, bound.port)
