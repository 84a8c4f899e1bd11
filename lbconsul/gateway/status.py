"""Collects a gateway's status from all its rooms."""

import os
import time
from collections.abc import Iterable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred, succeed

from lbconsul.admin.check_status import ChecksStatus, CheckStatus
from lbconsul.admin.status_model import (
    DrainedStatus,
    DrainStatus,
    FaultStatus,
    FullStatus,
    GatewayStatus,
    MappingStatus,
    PoolStatus,
    UpstreamStatus,
    WatchStatus,
    WorkerStatus,
)
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.admin.why import Question, Why
from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool import Pool
from lbconsul.balance.upstream import Upstream
from lbconsul.balance.upstream_view import WHOLE
from lbconsul.config.model import Config, Mapping, rows
from lbconsul.config.render import gateway_options, mapping_options
from lbconsul.errors import CannotOrder
from lbconsul.gateway.certificate_status import CertificateRows
from lbconsul.gateway.history import HistoryRecorder
from lbconsul.gateway.http_status import (
    bytes_moved,
    failed,
    histogram_of,
    http_fields,
    unhappy_connections,
)
from lbconsul.gateway.interfaces import Gateway
from lbconsul.gateway.readiness import reasons_not_ready
from lbconsul.gateway.split_shares import SplitShares, gets, groups
from lbconsul.gateway.upstream_figures import upstream_figures
from lbconsul.gateway.why import explain
from lbconsul.process.clock import WallClock
from lbconsul.process.reactor_lag import Lag
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.version import __version__

if TYPE_CHECKING:
    from lbconsul.workers.worker_process import WorkerProcess


@define(eq=False)
class StatusCollector:
    """A gateway as the admin listener sees it: a `StatusSource`."""

    _gateway: Gateway
    #: By the reactor's clock.
    _started: float
    _wall: WallClock
    #: How late the reactor's calls come.
    _lag: Lag
    #: Whether anything can be ordered, as `GatewayStatus` has it.
    _changes: str = "off"
    #: Records the last hour of each mapping.
    history: HistoryRecorder = field(kw_only=True)
    _wall_of_workers: WallClock = Factory(lambda: WallClock(time.monotonic))
    _certificates: CertificateRows = Factory(CertificateRows)
    _splits: SplitShares = Factory(SplitShares)

    def __attrs_post_init__(self) -> None:
        self._splits.begin(rows(self._gateway.config.mappings))

    def gateway(self) -> GatewayStatus:
        """The gateway as a whole."""
        shown, data_plane = self._gateway, self._gateway.data_plane
        not_ready = tuple(reasons_not_ready(shown))
        draining = shown.is_draining
        starting = "starting" if not_ready else "serving"
        return GatewayStatus(
            version=__version__,
            started=self._wall.at(self._started),
            now=self._wall.now(),
            state="draining" if draining else starting,
            ready=not (not_ready or draining),
            not_ready=(("draining: no new clients are accepted",) if draining else ())
            + not_ready,
            pid=os.getpid(),
            changes=self._changes,
            workers=tuple(_worker(each) for each in data_plane.workers),
            options=gateway_options(shown.config),
            consul=tuple(map(str, shown.config.consul.addresses)),
            reactor_lag=self._lag.worst,
            open=data_plane.open,
            accepted=data_plane.accepted,
            max_connections=data_plane.connection_limit.limit,
            log_lines_dropped=shown.log_lines_dropped,
            drain=self._drain(),
            consul_ui=_consul_ui(shown.config),
            full=tuple(_full(*each) for each in sorted(data_plane.full.items())),
            registrations=shown.registrations.states(),
            checks=self._checks(),
            faults=tuple(
                FaultStatus(*fault, count)
                for fault, count in sorted(data_plane.faults.items())
            ),
        )

    def _checks(self) -> ChecksStatus | None:
        checker = self._gateway.own_checks.checker
        if not checker:
            return None
        return ChecksStatus(
            checked=len(checker),
            failing=checker.failing,
            under_way=checker.under_way,
            late=checker.late,
        )

    def _drain(self) -> DrainStatus | None:
        shutdown = self._gateway.shutdown
        if shutdown is None:
            return None
        since, until = self._wall.at(shutdown.since), self._wall.at(shutdown.until)
        return DrainStatus(since, until, shutdown.began_with)

    def watches(self) -> Iterable[WatchStatus]:
        """What Consul is asked."""
        return self._gateway.watch_states

    def drained(self) -> list[DrainedStatus]:
        """What an operator has drained, though it may be gone."""
        return [
            DrainedStatus(upstream_id(*identity), *identity, is_there)
            for identity, is_there in self._gateway.operations.drained()
        ]

    @property
    def drains_last(self) -> str:
        """How long a drain lasts, for people to read."""
        return self._gateway.operations.kept

    def mappings(self) -> Iterator[MappingStatus]:
        """What is listened on, one by one."""
        served = self._gateway.data_plane.mappings
        self._splits.keep(served)
        for group in groups(served):
            if len(group) == 1:
                yield self._mapping(group[0])
                continue
            counts = [gets(self._traffic(each)) for each in group]
            shares = self._splits.shares(group, counts)
            for each, split in zip(group, shares, strict=True):
                yield evolve(self._mapping(each), split=split)

    def _mapping(self, mapping: Mapping) -> MappingStatus:
        data_plane = self._gateway.data_plane
        traffic, failover = self._traffic(mapping), self._failover(mapping)
        stats, (received, sent) = traffic.stats, bytes_moved(traffic)
        return MappingStatus(
            name=str(mapping),
            listen=str(mapping.listen or ""),
            route=mapping.route,
            service=mapping.service,
            policy=mapping.policy,
            listening=data_plane.is_listening(mapping),
            options=mapping_options(mapping),
            accepted=stats.accepted,
            open=max(0, stats.accepted - sum(stats.endings.values())),
            queued=traffic.queued,
            terminations=dict(stats.endings),
            rate_limited=_rate_limited(mapping, stats),
            bytes_received=received,
            bytes_sent=sent,
            pools=tuple(
                _pool(failover, pool, number in traffic.used)
                for number, pool in enumerate(failover.all)
            ),
            connect_time=histogram_of(stats.connect),
            first_byte_time=histogram_of(stats.first_byte),
            connection_time=histogram_of(stats.connection),
            empty=self._gateway.availability.why(mapping)
            or self._gateway.why_closed(mapping),
            failed=failed(traffic),
            unhappy_connections=unhappy_connections(traffic, self._wall_of_traffic),
            passwords_error=self._gateway.passwords.error(mapping),
            **self._certificate_fields(mapping),
            **http_fields(traffic, self._wall_of_traffic),
        )

    def _traffic(self, mapping: Mapping) -> MappingTraffic:
        traffic = self._gateway.data_plane.traffic(mapping)
        if mapping.mode == "http":  # no worker may have reported a request yet
            traffic.stats.use_http()
        return traffic

    def _certificate_fields(self, mapping: Mapping) -> dict[str, Any]:
        served = self._gateway.certificates.of(mapping.tls)
        if served is None or mapping.route:  # a route has those of its mapping
            return {}
        fields: dict[str, Any] = {"certificates_error": served.error}
        if served.server is not None:
            rows = self._certificates.of(served.server, self._wall.now())
            fields["certificates"] = rows
            fields["certificates_in_use"] = len(served.certificates)
        return fields

    def upstreams(self, mapping: str, pool: int) -> Iterator[UpstreamStatus]:
        """The upstreams of a mapping's pool with this number, one by one."""
        each = self._gateway.data_plane.mapping(mapping)
        if each is not None:
            traffic = self._traffic(each)
            chosen = self._failover(each).all[pool]
            for upstream in tuple(chosen.upstreams()):
                yield self._upstream(chosen, pool, upstream, traffic)

    def _upstream(
        self, pool: Pool, number: int, upstream: Upstream, traffic: MappingTraffic
    ) -> UpstreamStatus:
        instance, state = upstream.instance, pool.state(upstream)
        identity = instance.identity
        standing, reason, since = state.standing.value, state.reason, state.since
        if standing in ("serving", "warming") and (number, identity) in traffic.ejected:
            standing = "ejected"
            ejection, since = traffic.ejected[number, identity]
            wall = self._wall_of_traffic
            reason, since = _in_words(ejection, wall), wall.at(since)
        else:
            since = self._wall.at(since)
        return UpstreamStatus(
            id=upstream_id(*identity),
            datacenter=identity.datacenter,
            node=identity.node,
            service_id=identity.service_id,
            address=instance.place,
            tags=instance.tags,
            weight=upstream.verdict.weight,
            effective_weight=upstream.effective_weight / WHOLE,
            standing=standing,
            reason=reason,
            since=since,
            open=upstream.load.open,
            drain_began_with=upstream.open_then if standing == "draining" else None,
            check=self._check(pool, upstream),
            **upstream_figures(traffic, identity, self._wall_of_traffic),
        )

    def _check(self, pool: Pool, upstream: Upstream) -> CheckStatus | None:
        if pool.checks is None:
            return None
        target = self._gateway.own_checks.target(pool, upstream.instance)
        if target is None:
            return None
        is_up, duration = target.state.is_up, target.duration
        return CheckStatus(
            check=target.spec.probe.text,
            state="unknown" if is_up is None else "passing" if is_up else "failing",
            since=self._wall.at(target.since),
            result=target.result,
            # In whole milliseconds, or each check would alter the status.
            duration=None if duration is None else ceil(duration * 1000) / 1000,
            failures=target.failures,
        )

    @property
    def _wall_of_traffic(self) -> WallClock:
        """Translates the times of what serves."""
        # Workers wait by the machine's monotonic clock, and we mostly, too.
        is_ours = not self._gateway.data_plane.workers
        return self._wall if is_ours else self._wall_of_workers

    def _failover(self, mapping: Mapping) -> Failover:
        return self._gateway.registry.failover(failover_spec(mapping))

    def why(self, question: Question) -> Why:
        """Which route a request takes, and why.

        :raises CannotExplain: it is no request, or no mapping has its port.
        """
        return explain(self._gateway, question)

    @property
    def tag_routes(self) -> TagRoutesSource:
        """The routes that are tags in Consul."""
        return self._gateway.tag_routes_source

    # What an operator orders.

    def drain(self, upstream: str) -> bool:
        """Give that upstream no new connections, in any pool; whether it exists.

        :raises CannotOrder: not now.
        """
        return self._gateway.operations.drain(Identity.parse(upstream))

    def undrain(self, upstream: str) -> bool:
        """The opposite, as far as Consul lets it serve, though it may be gone.

        :raises CannotOrder: not now.
        """
        return self._gateway.operations.undrain(Identity.parse(upstream))

    def eject(self, upstream: str) -> Deferred[bool]:
        """Eject it as if it had failed; whether there is such a one.

        Fails with `CannotOrder` if it cannot be ejected.
        """
        identity = Identity.parse(upstream)
        if not self._gateway.registry.has(identity):
            return succeed(False)

        def answered(why: str) -> bool:
            if why:
                raise CannotOrder(f"{upstream} cannot be ejected: {why}")
            return True

        return self._gateway.data_plane.eject(identity).addCallback(answered)

    def drain_gateway(self) -> None:
        """Drain the gateway and end it when nothing is open."""
        self._gateway.shut_down()


def _consul_ui(config: Config) -> str:
    """The URL below which Consul's own page has those of datacenters; or empty."""
    consul, given = config.consul, config.consul_ui
    if given == "off" or (config.dev and not given):  # the catalog of --dev has none
        return ""
    base = given or consul.ui
    # As Consul's page has them: a partition comes before a namespace.
    for sign, name in (("_", consul.partition), ("~", consul.namespace)):
        if base and name:
            base += f"/{sign}{quote(name, safe='')}"
    return base


def _full(full: Full, processes: int) -> FullStatus:
    return FullStatus(full.reason, full.mapping, processes)


def _worker(worker: "WorkerProcess") -> WorkerStatus:
    report = worker.report
    count = report.count
    return WorkerStatus(
        worker.number, worker.pid, report.serves, count.open, count.accepted
    )


def _pool(failover: Failover, pool: Pool, used: bool) -> PoolStatus:
    fallback = pool not in failover.pools
    query = pool.query
    return PoolStatus(str(query), used, fallback, len(pool), query.service)


def _in_words(ejection: Ejection, clock: WallClock) -> str:
    since, until = clock.at(ejection.since), clock.at(ejection.until)
    return Ejection(ejection.reason, since, until).in_words(clock.now())


def _rate_limited(mapping: Mapping, stats: MappingStats) -> dict[str, int]:
    """How often each limit was exceeded: those that hold, and earlier ones."""
    return dict.fromkeys(map(str, mapping.limits.rates), 0) | dict(stats.exceeded)
