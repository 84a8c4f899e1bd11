"""The admin service of a gateway: the event log and the admin listener."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.application.service import MultiService
from twisted.logger import Logger

from lbconsul.admin.event_log import EventLog
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.balance.event_text import describe, names_of, word_of
from lbconsul.balance.events import (
    Event,
    GatewayEvent,
    MappingEvent,
    PoolEvent,
    RouteEvent,
    UpstreamEvent,
)
from lbconsul.balance.instance import Identity
from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.config.model import TLS, Config
from lbconsul.consul.client import ConsulClient
from lbconsul.errors import ConfigError
from lbconsul.gateway.interfaces import Gateway
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.net.throttled_log import ThrottledLog, in_words
from lbconsul.process.clock import WallClock
from lbconsul.process.reactor_lag import Lag

if TYPE_CHECKING:
    from lbconsul.admin.server import AdminServer
    from lbconsul.admin.token_file import OneToken, TokenFile
    from lbconsul.gateway.history import HistoryRecorder
    from lbconsul.gateway.status import StatusCollector
    from lbconsul.tls.material import Material
    from lbconsul.tls.server import TLSServer

#: Rate limit of log lines that clients of the admin listener can cause: lines a second,
#: burst, and the interval in seconds at which suppressed lines are summed up.
RATE, BURST, SUM_UP_EVERY = 0.2, 5.0, 10.0

#: An event names at most this many instances.
SHOWN = 10


@define(eq=False, repr=False)
class AdminService(MultiService):
    """Records events, and runs the admin listener unless that is off.

    With `is_patient` the address may still belong to the predecessor in a takeover.

    :raises ConfigError: a token file cannot be read, or both tokens are the same.
    """

    _log = Logger()
    _reactor: Any
    _config: Config
    _gateway: Gateway
    _is_patient: bool = False
    events: EventLog = field(init=False)
    _lag: Lag = field(init=False)
    _bound: ThrottledLog = field(init=False)
    #: By the reactor's clock.
    _started: float = field(init=False)
    _server: "AdminServer | None" = None
    #: Records the last hour of each mapping; None: there is no admin listener.
    _history: "HistoryRecorder | None" = None
    #: The token of a demo (``--dev``): shown on its terminal only.
    demo_token: str = field(default="", repr=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        reactor = self._reactor
        self._started = reactor.seconds()
        wall = WallClock(reactor.seconds)
        self.events = EventLog(wall.now)
        self._lag = Lag(reactor)
        self._bound = ThrottledLog(
            reactor, TokenBucket(RATE, BURST), self._sum_up, SUM_UP_EVERY
        )
        if self._config.admin.listen is not None:
            self._server = self._make_server(self._config.admin.listen, wall)
            self._server.setServiceParent(self)

    def _make_server(
        self, listen: TCPListen | UnixListen, wall: WallClock
    ) -> "AdminServer":
        # Imported here: without an admin listener they are not needed.
        from lbconsul.admin.server import AdminServer
        from lbconsul.gateway.history import HistoryRecorder
        from lbconsul.gateway.status import StatusCollector

        reactor, config = self._reactor, self._config
        secret, read_secret = self._secret(config), _read_secret(config)
        if secret and read_secret and secret.token == read_secret.token:
            raise ConfigError(
                "--admin-read-token-file: holds the token of --admin-token-file, which"
                " changes, too: give each a token of its own"
            )
        changes = "off" if secret is None else "need a token"
        history = self._history = HistoryRecorder(reactor, self._gateway)
        history.setServiceParent(self)
        showing = StatusCollector(
            self._gateway, self._started, wall, self._lag, changes, history=history
        )
        return AdminServer(
            reactor,
            listen,
            showing,
            self.events,
            secret,
            config.admin_open_read,
            read_secret,
            is_needed=config.admin.is_needed,
            is_patient=self._is_patient,
            allow=self._bound.allow,
        )

    def source(self) -> "StatusCollector":
        """The status, for the program that the gateway is in."""
        # Imported here: few programs ask.
        from lbconsul.gateway.history import HistoryRecorder
        from lbconsul.gateway.status import StatusCollector

        reactor = self._reactor
        return StatusCollector(
            self._gateway,
            self._started,
            WallClock(reactor.seconds),
            self._lag,
            history=self._history or HistoryRecorder(reactor, self._gateway),
        )

    def load_certificates(
        self, client: ConsulClient, chance: Callable[[], float]
    ) -> None:
        """Serve clients with TLS if that is configured, and follow its files.

        :raises ConfigError: they cannot be used.
        """
        tls = self._config.tls_of_admin
        if self._server is None or not tls.certificates:
            return
        # Imported here: few gateways need it.
        from lbconsul.gateway.certificates import Certificates

        user = _TLSUser(self._gateway.data_plane.sweeper, self._server)
        certificates = Certificates(self._reactor, user, client, chance)
        certificates.add_options(tls, "admin")
        certificates.setServiceParent(self)

    def _secret(self, config: Config) -> "TokenFile | OneToken | None":
        """The token that changes; a demo gets a random one."""
        from lbconsul.admin.token_file import OneToken, TokenFile, new_token

        if config.admin_token_file:
            return TokenFile(config.admin_token_file)
        if config.admin_token:
            return OneToken(config.admin_token)
        if not config.dev:
            return None
        self.demo_token = new_token()
        return OneToken(self.demo_token)

    @property
    def address(self) -> str:
        """The URL or ``unix:/PATH`` of the listener; empty if it is not bound."""
        server = self._server
        return server.address if server is not None and server.is_bound else ""

    @property
    def listen(self) -> TCPListen | UnixListen | None:
        """The address that the listener has or is going to bind; None for none."""
        server = self._server
        return server.listen if server is not None and server.has_address else None

    def bind(self) -> None:
        """Open the socket.

        :raises CannotListen: the configured address cannot be bound.
        """
        if self._server is not None:
            self._server.bind()

    def bind_files(self) -> None:
        """Open the socket, if it is a UNIX socket.

        :raises CannotListen: the configured address cannot be bound.
        """
        if isinstance(self._config.admin.listen, UnixListen):
            self.bind()

    def close(self) -> None:
        """Close what `bind` opened, if the service is not going to be started."""
        if self._server is not None:
            self._server.close()

    def leave(self) -> None:
        """Close the listener: from now on its address is the successor's."""
        server, self._server = self._server, None
        if server is not None and server.parent is not None:
            server.disownServiceParent()

    def on_event(self, event: Event) -> None:
        """Append an event to the event log, and so to all streams of events."""
        self.events.add(event.kind.value, describe(event), **_fields(event))

    def history_state(self) -> dict[str, Any] | None:
        """The history for a successor, as JSON can hold it; None if there is none."""
        return None if self._history is None else self._history.state()

    def inherit_history(self, state: object) -> None:
        """Go on from a predecessor's history; from none if it is no such thing."""
        if self._history is not None:
            self._history.inherit(state)

    def _sum_up(self, counts: Mapping[str, int]) -> None:
        self._log.warn("admin: more of the same: {what}", what=in_words(counts))

    def startService(self) -> None:
        self._lag.start()
        super().startService()

    def stopService(self) -> Any:
        self._lag.stop()
        self._bound.stop()
        return super().stopService()


@frozen
class _TLSUser:
    """The admin listener as a `CertificateUser`."""

    sweeper: TimeSlicer
    _server: "AdminServer"

    def use_certificates(
        self, tls: TLS, material: "Material", server: "TLSServer"
    ) -> None:
        self._server.use_tls(server)

    def drop_certificates(self, wanted: Collection[TLS]) -> None:
        """It keeps the options that it has."""


def _read_secret(config: Config) -> "TokenFile | OneToken | None":
    """The token that only reads."""
    from lbconsul.admin.token_file import OneToken, TokenFile

    if config.admin_read_token_file:
        return TokenFile(config.admin_read_token_file, "--admin-read-token-file")
    return OneToken(config.admin_read_token) if config.admin_read_token else None


def _fields(event: Event) -> dict[str, Any]:
    """The fields of an event in the event log, except its kind and text."""
    if isinstance(event, PoolEvent):
        return {
            "query": str(event.query),
            "instances": tuple(names_of(event.instances)[:SHOWN]),
            "count": len(event.instances),
            "seconds": _rounded(event.seconds),
        }
    fields: dict[str, Any] = {"reason": event.reason}
    if not isinstance(event, GatewayEvent | RouteEvent):
        fields["query"] = str(event.query or "")
    if isinstance(event, MappingEvent | RouteEvent):
        fields["mapping"] = event.mapping
    if isinstance(event, UpstreamEvent):
        instance = event.instance
        identity = instance if isinstance(instance, Identity) else instance.identity
        fields["upstream"] = upstream_id(*identity)
        fields["before"] = word_of(event.before)
        fields["after"] = word_of(event.after)
        fields["seconds"] = _rounded(event.seconds)
    return fields


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
