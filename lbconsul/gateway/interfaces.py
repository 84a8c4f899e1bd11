"""A gateway and its data plane, as the parts of a gateway see them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred

from lbconsul.admin.status_model import RegistrationStatus, WatchStatus
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.balance.events import Event
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import ResultChanges
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import TLS, Config, Mapping
from lbconsul.extensions.extensions import Extensions
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.live_routes import RowChanges
from lbconsul.proxy.saturation import Full
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.steps import Steps

if TYPE_CHECKING:
    from lbconsul.checks.checker import Checker, Target
    from lbconsul.gateway.served_certificates import ServedCertificates
    from lbconsul.gateway.tag_mapping import TagMapping
    from lbconsul.http.htpasswd import Passwords
    from lbconsul.tls.material import Material
    from lbconsul.tls.server import TLSServer
    from lbconsul.workers.worker_process import WorkerProcess


class Stage(Enum):
    """How far a gateway is, for what started it."""

    #: No client is accepted yet, or the predecessor in a takeover still serves.
    STARTING = auto()
    #: Clients of every mapping are accepted.
    SERVING = auto()
    #: The gateway is about to end.
    DRAINING = auto()
    #: A successor serves; this gateway ends.
    REPLACED = auto()


class EventObserver(Protocol):
    """Hears of each event of a gateway."""

    def on_event(self, event: Event) -> None:
        """Something happened."""


class CertificateUser(Protocol):
    """Serves clients with the certificates that it is given."""

    @property
    def sweeper(self) -> TimeSlicer:
        """Runs long work in slices in this process."""

    def use_certificates(
        self, tls: TLS, material: "Material", server: "TLSServer"
    ) -> None:
        """Serve clients that come from now on with these certificates.

        `server` is made of `material`.
        """

    def drop_certificates(self, wanted: Collection[TLS]) -> None:
        """Drop the certificates of all TLS options but these."""


class PasswordUser(Protocol):
    """Verifies users by the passwords that it is given."""

    @property
    def sweeper(self) -> TimeSlicer:
        """Runs long work in slices in this process."""

    def use_passwords(self, path: str, passwords: "Passwords") -> None:
        """Verify the users of mappings with this file by these passwords."""

    def drop_passwords(self, wanted: Collection[str]) -> None:
        """Drop the passwords of all files but these."""


class DataPlane(CertificateUser, PasswordUser, Protocol):
    """Serves mappings: a Twisted service, in this process alone or with workers."""

    #: The listening sockets, those of workers included.
    sockets: ListeningSockets

    def use_cookie_keys(self, keys: tuple[bytes, ...]) -> None:
        """Make cookies with the first of these keys, and know those of all.

        Workers get them with their next mappings.
        """

    @property
    def running(self) -> int:
        """Whether the service runs."""

    @property
    def registry(self) -> Registry:
        """All pools."""

    @property
    def extensions(self) -> Extensions:
        """The policies and hooks of this process."""

    @property
    def connection_limit(self) -> ConnectionLimit:
        """The limit of open connections in this process."""

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings, those of `lend` included."""

    @property
    def workers(self) -> "Collection[WorkerProcess]":
        """The running worker processes; empty without workers."""

    @property
    def open(self) -> int:
        """Open connections, over all processes."""

    @property
    def accepted(self) -> int:
        """Connections accepted since the start, over all processes."""

    @property
    def full(self) -> Counter[Full]:
        """The limits that are reached, and in how many processes."""

    @property
    def faults(self) -> Counter[tuple[str, str]]:
        """The faults of policies and hooks, by their names and kinds."""

    @property
    def longest_drain(self) -> float:
        """The longest drain timeout of all mappings, in seconds."""

    @property
    def is_serving(self) -> bool:
        """Whether clients of every mapping are accepted."""

    def mapping(self, name: str) -> Mapping | None:
        """The mapping with this name in the status; None if there is none."""

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of this mapping are accepted."""

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """The traffic of a mapping, summed over all processes."""

    def stats_of(self, mapping: Mapping) -> list[MappingStats]:
        """The statistics of a mapping by process: what `traffic` sums up."""

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        """Set the drained registrations, with their CreateIndex; others serve again."""

    def set_check_results(self, changes: ResultChanges) -> Collection[ServiceQuery]:
        """Apply other results of own checks; the queries whose pools they concern."""

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream; fires with the reason of a refusal, empty if ejected."""

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping whose clients the caller's endpoint accepts."""

    def listen(self, mapping: Mapping) -> None:
        """Add a mapping; its socket is opened at once if the service runs.

        :raises CannotListen: the service runs, and the address cannot be bound.
        """

    def replacing(
        self,
        mappings: Iterable[Mapping],
        added: Iterable[OwnedSocket],
        connection_log: bool,
    ) -> Steps[None]:
        """Replace the served mappings in steps; `added` are the sockets of new ones.

        Each step says whether it was long.  `sockets` changes with the first.
        """

    def amend(self, changes: RowChanges) -> None:
        """Have rows of a mapping come and go while it is served."""

    def keep_answers(self, asked: Callable[[], Collection[ServiceQuery]]) -> None:
        """Keep the answers to these queries, whether a mapping needs them or not."""

    def forget(self, queries: Iterable[ServiceQuery]) -> None:
        """Discard the answers to queries that are no longer asked."""

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Start with, and stop with, this service."""

    def drain(self) -> Deferred[None]:
        """Close the listeners and drain; fires when no connection is open."""

    def end(self) -> tuple[int, int, int]:
        """Close all connections, after the service has stopped.

        Returns the number of connections accepted in all, of connections closed just
        now, and of leases left.
        """


class UpstreamOperations(Protocol):
    """Carries out what an operator orders for upstreams."""

    @property
    def kept(self) -> str:
        """How long a drain lasts, as text."""

    def drained(self) -> Iterator[tuple[Identity, bool]]:
        """The drained instances, and whether Consul still has the registration."""

    def drain(self, identity: Identity) -> bool:
        """Drain an upstream in all pools; returns whether the instance exists."""

    def undrain(self, identity: Identity) -> bool:
        """End a drain; returns whether the instance exists, or existed."""


class MappingAvailability(Protocol):
    """Knows which mappings have no usable instance."""

    def blocks(self, mapping: Mapping) -> str:
        """Why this mapping keeps the gateway from being ready; empty if it does not."""

    def why(self, mapping: Mapping) -> str:
        """Why a mapping has no usable instance now; empty if it has one."""


class MappingPasswords(Protocol):
    """Knows whom mappings with `basic-auth` serve."""

    def error(self, mapping: Mapping) -> str:
        """Why the file that a mapping names is not in use as it is; empty if it is."""


class MappingCertificates(Protocol):
    """Knows what mappings serve TLS with."""

    def of(self, tls: TLS) -> "ServedCertificates | None":
        """What is known for these options; None for those without TLS."""

    def blocks(self, mapping: Mapping) -> str:
        """Why a mapping cannot serve clients yet; empty if it can."""


class GatewayRegistrations(Protocol):
    """Keeps a gateway registered in Consul."""

    def states(self) -> tuple[RegistrationStatus, ...]:
        """The registrations, as the status shows them."""


class OwnChecks(Protocol):
    """Checks the instances that Consul lets serve."""

    @property
    def checker(self) -> "Checker | None":
        """The checker; None: nothing is checked."""

    def target(self, pool: Pool, instance: Instance) -> "Target | None":
        """What is known of the check of an instance; None if it has none."""


class Shutdown(Protocol):
    """A drain of the gateway that is under way; times are the reactor's."""

    #: When it began, and when what is still open is closed.
    since: float
    until: float
    #: How many connections were open when the listeners were closed; before that, when
    #: it began.
    began_with: int


class Gateway(Protocol):
    """A gateway, as its parts see it."""

    config: Config

    @property
    def running(self) -> int:
        """Whether the gateway runs."""

    @property
    def data_plane(self) -> DataPlane:
        """Serves the mappings."""

    @property
    def registry(self) -> Registry:
        """All pools."""

    @property
    def operations(self) -> UpstreamOperations:
        """Carries out what an operator orders."""

    @property
    def availability(self) -> MappingAvailability:
        """Which mappings have had an instance."""

    @property
    def passwords(self) -> MappingPasswords:
        """Whom mappings with `basic-auth` serve."""

    @property
    def certificates(self) -> MappingCertificates:
        """What clients are served TLS with."""

    @property
    def registrations(self) -> GatewayRegistrations:
        """The gateway in Consul."""

    def tag_mapping(self, mapping: Mapping) -> "TagMapping | None":
        """The tags that are the routes of a mapping; None if they are no tags."""

    def why_closed(self, row: Mapping) -> str:
        """Why requests for a row get 503 whatever instances there are, if they do."""

    @property
    def tag_routes_source(self) -> TagRoutesSource:
        """The routes that are tags in Consul, as they are shown."""

    @property
    def registered_as(self) -> list[tuple[Mapping, str]]:
        """The names as which tags have mappings registered in Consul."""

    @property
    def own_checks(self) -> "OwnChecks":
        """The gateway's own checks of instances."""

    @property
    def is_draining(self) -> bool:
        """Whether the listeners are closed, or about to be."""

    @property
    def shutdown(self) -> Shutdown | None:
        """How it drains; None: it does not."""

    @property
    def stage(self) -> Stage:
        """How far the gateway is."""

    @property
    def log_lines_dropped(self) -> int:
        """Lines of the log that were dropped since the start."""

    @property
    def watch_states(self) -> Iterable[WatchStatus]:
        """The queries to Consul, and how each goes."""

    def use(self, config: Config) -> None:
        """Have this configuration from now on; the parts are going to follow."""

    def shut_down(self) -> None:
        """Drain, and end when no connection is open."""
