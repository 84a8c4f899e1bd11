"""Reloads a gateway: what can fail is prepared first, then the rest is committed."""

from collections.abc import Callable, Generator, Iterator

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lbconsul.balance.events import EventKind, GatewayEvent
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.diff import Plan, applicable, planning
from lbconsul.config.model import Config, Mapping, rows
from lbconsul.consul.client import ConsulClient
from lbconsul.errors import CannotReload
from lbconsul.gateway.availability import Availability
from lbconsul.gateway.certificates import Certificates
from lbconsul.gateway.cookie_keys import CookieKeys
from lbconsul.gateway.interfaces import EventObserver, Gateway
from lbconsul.gateway.operations import Operations
from lbconsul.gateway.own_checks import OwnChecks
from lbconsul.gateway.password_files import PasswordFiles, UsedPasswords
from lbconsul.gateway.registrations import Registrations
from lbconsul.gateway.screening import Screening
from lbconsul.gateway.served_certificates import ServedCertificates
from lbconsul.gateway.tag_routes import TagRoutes
from lbconsul.gateway.tls_files import checking_files
from lbconsul.gateway.watches import Watches, queries_of
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.process.state_dir import check_directory
from lbconsul.steps import finish


@frozen
class Prepared:
    """All that a reload needs and that might have failed."""

    #: The configuration, as far as it applies without a restart.
    config: Config
    #: The options that need a restart.
    refused: list[str]
    plan: Plan
    client: ConsulClient
    certificates: list[ServedCertificates]
    passwords: list[UsedPasswords]
    #: The open sockets of the added mappings.
    added: list[OwnedSocket]
    #: All mappings: those of the configuration, and those of TCP routes by tags.
    served: tuple[Mapping, ...]
    cookie_keys: tuple[bytes, ...] = field(repr=False)


@define(eq=False)
class Reloader:
    """Gives a running gateway another configuration, at once or in slices."""

    _log = Logger()
    _gateway: Gateway
    _watches: Watches
    _certificates: Certificates
    _passwords: PasswordFiles
    _operations: Operations
    _own_checks: OwnChecks
    _availability: Availability
    _screening: Screening
    _registrations: Registrations
    _tag_routes: TagRoutes
    _observer: EventObserver
    _cookie_keys: CookieKeys
    _new_client: Callable[[ConsulConfig], ConsulClient]
    #: The steps still to do of a reload in slices.
    _steps: Iterator[object] | None = field(init=False, default=None)

    def reload(self, config: Config) -> Plan:
        """Reload at once.

        :raises LBConsulError: something that `config` needs fails; nothing has changed.
        """
        self.finish()
        return finish(self._reload(config))

    def begin(self, config: Config) -> Deferred[Plan]:
        """Reload in slices, between which clients are served.

        The Deferred fails as `reload` does.
        """
        self.finish()
        done: Deferred[Plan] = Deferred()
        self._steps = self._in_steps(config, done)
        self._gateway.data_plane.sweeper.begin(self._steps)
        return done

    def finish(self) -> None:
        """Do at once what a reload in slices has left to do."""
        steps = self._steps
        if steps is not None:
            self._gateway.data_plane.sweeper.drop(steps)
            for _ in steps:
                pass

    def _in_steps(self, config: Config, done: Deferred[Plan]) -> Iterator[object]:
        try:
            plan = yield from self._reload(config)
        except Exception:
            self._steps = None
            done.errback()
        else:
            self._steps = None
            done.callback(plan)

    def _reload(self, config: Config) -> Generator[object, None, Plan]:
        prepared = yield from self._prepare(config)
        yield from self._commit(prepared)
        return prepared.plan

    def _prepare(self, config: Config) -> Generator[object, None, Prepared]:
        """Do what can fail; if it does, nothing has changed."""
        gateway = self._gateway
        if not gateway.running or gateway.is_draining:
            why = "is shutting down" if gateway.running else "does not run"
            raise CannotReload(f"the gateway {why}")
        config, refused = applicable(gateway.config, config)
        renew = config.connection_log != gateway.config.connection_log
        before = [each.mapping for each in gateway.data_plane.sockets]
        served = (*config.mappings, *self._tag_routes.served_beside(config.mappings))
        plan = yield from planning(before, served, renew=renew)
        if config.state_dir:
            check_directory(config.state_dir)
        yield from checking_files(config.mappings)
        for row in rows(config.mappings):
            gateway.data_plane.extensions.load(row)
            yield False
        client = self._new_client(config.consul)
        cookie_keys = self._cookie_keys.read(config)
        yield True
        # Mappings of endpoints outside stay, though they are not in the configuration.
        listens = {each.listen for each in before}
        lent = [
            each for each in gateway.data_plane.mappings if each.listen not in listens
        ]
        certificates = yield from self._certificates.loading([*config.mappings, *lent])
        passwords = yield from self._passwords.loading([*config.mappings, *lent])
        listening = [each for each in plan.added if not each.route]
        added = yield from gateway.data_plane.sockets.binding(listening)
        return Prepared(
            config,
            refused,
            plan,
            client,
            certificates,
            passwords,
            added,
            served,
            cookie_keys,
        )

    def _commit(self, prepared: Prepared) -> Iterator[object]:
        """Do the rest; none of it can fail."""
        gateway, config, plan = self._gateway, prepared.config, prepared.plan
        data_plane = gateway.data_plane
        gateway.use(config)
        data_plane.use_cookie_keys(prepared.cookie_keys)
        self._cookie_keys.keep(config.state_dir)
        self._certificates.use_only(prepared.certificates)
        self._passwords.use_only(prepared.passwords)
        yield True
        if prepared.added:
            yield from self._screening.learning(prepared.added)
        yield from data_plane.replacing(
            prepared.served, prepared.added, config.connection_log
        )
        self._watches.use_state_dir(config.state_dir)
        self._operations.use_state_dir(config.state_dir)
        self._tag_routes.replace(config.mappings)
        queries = [*queries_of(data_plane.mappings), *self._tag_routes.queries]
        yield True
        data_plane.forget((yield from self._watches.asking_only(queries)))
        if plan.added or plan.removed:
            yield from self._screening.learning()
        self._registrations.learn()
        restarted = self._watches.use_client(prepared.client)
        self._certificates.use_client(prepared.client)
        if restarted:
            self._registrations.use_client(prepared.client)
            self._tag_routes.use_client(prepared.client)
        yield True
        self._own_checks.use_rate(config.check_rate)
        yield from self._own_checks.learning()
        live = self._tag_routes.rows
        served = [each for each in data_plane.mappings if each not in live]
        yield from self._availability.replacing(served)
        self._tell(prepared, restarted=restarted)

    def _tell(self, prepared: Prepared, *, restarted: bool) -> None:
        for option in prepared.refused:
            self._log.warn(
                "{option} cannot be changed by a reload: restart the gateway",
                option=option,
            )
        if restarted:
            self._log.info(
                "Consul's address, the wait, the token or the certificate changed: all"
                " watches restarted"
            )
        plan = str(prepared.plan)
        self._log.info("reloaded: {change}", change=plan)
        self._observer.on_event(GatewayEvent(kind=EventKind.RELOADED, reason=plan))
