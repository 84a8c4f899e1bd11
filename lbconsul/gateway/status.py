"""Collects the status of a gateway from all its parts."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol
from urllib.parse import unquote

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, succeed

from lbconsul.admin.status_model import (
    DrainedStatus,
    FullStatus,
    GatewayStatus,
    Histogram,
    MappingStatus,
    PoolStatus,
    UpstreamStatus,
    WatchStatus,
    WorkerStatus,
)
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool import Pool
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import WHOLE, Upstream
from lbconsul.config.model import Config, Mapping
from lbconsul.config.render import gateway_options, mapping_options
from lbconsul.errors import CannotOrder
from lbconsul.process.clock import WallClock
from lbconsul.process.reactor_lag import Lag
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import DurationHistogram, UpstreamStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.worker_process import WorkerProcess


class DataPlane(Protocol):
    """The data plane, as the status needs it."""

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings."""

    @property
    def open(self) -> int:
        """Open connections, over all processes."""

    @property
    def accepted(self) -> int:
        """Connections accepted since the start, over all processes."""

    @property
    def max_connections(self) -> int:
        """The connection limit over all mappings, per process; 0: no limit."""

    @property
    def members(self) -> list[WorkerProcess]:
        """The worker processes; empty without workers."""

    @property
    def full(self) -> Counter[Full]:
        """The limits that are reached, and in how many processes."""

    def mapping(self, name: str) -> Mapping | None:
        """The mapping with this name in the status; None if there is none."""

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of this mapping are accepted."""

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """The traffic of a mapping, summed over all processes."""

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream; fires with the reason of a refusal, empty if ejected."""


class Emptiness(Protocol):
    """Knows which mappings have no usable instance."""

    def blocks(self, mapping: Mapping) -> str:
        """Why this mapping keeps the gateway from being ready; empty if it does not."""

    def why(self, mapping: Mapping) -> str:
        """Why a mapping has no usable instance now; empty if it has one."""


class Orders(Protocol):
    """Executes the operator's orders."""

    @property
    def kept(self) -> str:
        """How long a drain lasts, as text."""

    def drained(self) -> Iterator[tuple[Identity, bool]]:
        """The drained instances, and whether Consul still has the registration."""

    def drain(self, identity: Identity) -> bool:
        """Drain an upstream in all pools; returns whether the instance exists."""

    def undrain(self, identity: Identity) -> bool:
        """End a drain, also of a deregistered instance; returns whether it exists."""


class Gateway(Protocol):
    """The gateway, as the status needs it."""

    config: Config

    @property
    def front(self) -> DataPlane:
        """The data plane."""

    @property
    def registry(self) -> Registry:
        """All pools."""

    @property
    def is_draining(self) -> bool:
        """Whether the shutdown has begun."""

    @property
    def operations(self) -> Orders:
        """The operator's orders."""

    @property
    def availability(self) -> Emptiness:
        """Why mappings have no usable instance."""

    @property
    def log_lines_dropped(self) -> int:
        """Log lines dropped since the start."""

    @property
    def watch_states(self) -> list[WatchStatus]:
        """The watches, and how each goes."""

    def drain(self) -> None:
        """Close the listeners, and exit when no connection is open."""


@define(eq=False)
class StatusCollector:
    """Implements the admin listener's `Source` for a gateway."""

    _gateway: Gateway
    #: The time of the start, by the reactor's clock.
    _started: float
    _wall: WallClock
    #: How late the reactor's calls come.
    _lag: Lag
    #: Whether orders are possible: `GatewayStatus.changes`.
    _changes: str = "off"
    _wall_of_workers: WallClock = Factory(lambda: WallClock(time.monotonic))
    _version: str = field(factory=lambda: _own_version())

    def gateway(self) -> GatewayStatus:
        """The gateway as a whole."""
        shown, front = self._gateway, self._gateway.front
        not_ready = self._not_ready()
        draining = shown.is_draining
        starting = "starting" if not_ready else "serving"
        return GatewayStatus(
            self._version,
            self._wall.at(self._started),
            self._wall.now(),
            "draining" if draining else starting,
            not (not_ready or draining),
            (("it accepts nobody any more",) if draining else ()) + not_ready,
            os.getpid(),
            self._changes,
            tuple(_worker(each) for each in front.members),
            gateway_options(shown.config),
            tuple(map(str, shown.config.consul.addresses)),
            self._lag.worst,
            front.open,
            front.accepted,
            front.max_connections,
            shown.log_lines_dropped,
            tuple(_full(*each) for each in sorted(front.full.items())),
        )

    def _not_ready(self) -> tuple[str, ...]:
        gateway, reasons = self._gateway, []
        for mapping in gateway.front.mappings:
            why = gateway.availability.blocks(mapping)
            if why:
                reasons.append(f"{mapping}: {why}")
            elif not gateway.front.is_listening(mapping):
                reasons.append(f"{mapping}: does not accept clients yet")
        return tuple(reasons)

    def watches(self) -> list[WatchStatus]:
        """The watches, and how each goes."""
        return self._gateway.watch_states

    def drained(self) -> list[DrainedStatus]:
        """The instances that the operator has drained, deregistered ones included."""
        return [
            DrainedStatus(upstream_id(*identity), *identity, is_there)
            for identity, is_there in self._gateway.operations.drained()
        ]

    @property
    def drains_last(self) -> str:
        """How long a drain lasts, as text."""
        return self._gateway.operations.kept

    def mappings(self) -> list[MappingStatus]:
        """The mappings, without their upstreams."""
        return [self._mapping(each) for each in self._gateway.front.mappings]

    def _mapping(self, mapping: Mapping) -> MappingStatus:
        front = self._gateway.front
        told, chain = front.traffic(mapping), self._failover(mapping)
        figures = told.figures
        return MappingStatus(
            str(mapping),
            str(mapping.listen or ""),
            mapping.service,
            mapping.policy,
            front.is_listening(mapping),
            mapping_options(mapping),
            figures.accepted,
            max(0, figures.accepted - sum(figures.endings.values())),
            told.queued,
            dict(figures.endings),
            figures.received,
            figures.sent,
            tuple(
                _pool(chain, pool, number in told.used)
                for number, pool in enumerate(chain.all)
            ),
            _histogram(figures.connect),
            _histogram(figures.first_byte),
            _histogram(figures.connection),
            self._gateway.availability.why(mapping),
        )

    def upstreams(self, mapping: str, pool: int) -> Iterator[UpstreamStatus]:
        """Iterate over the upstreams of pool number `pool` of a mapping."""
        each = self._gateway.front.mapping(mapping)
        if each is not None:
            told = self._gateway.front.traffic(each)
            chosen = self._failover(each).all[pool]
            for upstream in tuple(chosen.upstreams()):
                yield self._upstream(chosen, pool, upstream, told)

    def _upstream(
        self, pool: Pool, number: int, upstream: Upstream, told: MappingTraffic
    ) -> UpstreamStatus:
        instance, state = upstream.instance, pool.state(upstream)
        identity = instance.identity
        standing, reason, since = state.standing.value, state.reason, state.since
        if standing in ("serving", "warming") and (number, identity) in told.aside:
            standing = "ejected"
            ejection, since = told.aside[number, identity]
            # Workers report times by the system's monotonic clock; the reactor's clock
            # here may be another one.
            is_ours = not self._gateway.front.members
            wall = self._wall if is_ours else self._wall_of_workers
            reason, since = _in_words(ejection, wall), wall.at(since)
        else:
            since = self._wall.at(since)
        account = told.figures.accounts.get(identity, _NOTHING)
        return UpstreamStatus(
            upstream_id(*identity),
            *identity,
            instance.place,
            instance.tags,
            upstream.verdict.weight,
            upstream.share / WHOLE,
            standing,
            reason,
            since,
            upstream.load.open,
            account.total,
            account.received,
            account.sent,
            account.failures,
            account.connect_time or None,
        )

    def _failover(self, mapping: Mapping) -> Failover:
        return self._gateway.registry.chain(failover_spec(mapping))

    # The operator's orders.

    def drain(self, upstream: str) -> bool:
        """Drain an upstream in all pools; returns whether it exists.

        :raises CannotOrder: the order is not possible now.
        """
        return self._gateway.operations.drain(_identity(upstream))

    def undrain(self, upstream: str) -> bool:
        """End a drain, also of a deregistered instance; returns whether it exists.

        :raises CannotOrder: the order is not possible now.
        """
        return self._gateway.operations.undrain(_identity(upstream))

    def eject(self, upstream: str) -> Deferred[bool]:
        """Eject an upstream as outlier detection does; fires with whether it exists.

        Fails with `CannotOrder` if the upstream cannot be ejected.
        """
        identity = _identity(upstream)
        if not self._gateway.registry.has(identity):
            return succeed(False)

        def answered(why: str) -> bool:
            if why:
                raise CannotOrder(f"{upstream} cannot be ejected: {why}")
            return True

        return self._gateway.front.eject(identity).addCallback(answered)

    def drain_gateway(self) -> None:
        """Close the listeners, and exit when no connection is open."""
        self._gateway.drain()


_NOTHING = UpstreamStats()


def _identity(upstream: str) -> Identity:
    parts = [unquote(each, errors="surrogatepass") for each in upstream.split("/")]
    datacenter, node, service_id = parts
    return Identity(datacenter, node, service_id)


def _full(full: Full, processes: int) -> FullStatus:
    return FullStatus(full.reason, full.mapping, processes)


def _worker(member: WorkerProcess) -> WorkerStatus:
    report = member.report
    count = report.count
    return WorkerStatus(
        member.number, member.pid, report.serves, count.open, count.accepted
    )


def _pool(chain: Failover, pool: Pool, used: bool) -> PoolStatus:
    fallback = pool not in chain.pools
    question = pool.question
    return PoolStatus(str(question), used, fallback, len(pool), question.service)


def _histogram(times: DurationHistogram) -> Histogram:
    return Histogram(times.bounds, tuple(times.counts), times.sum)


def _in_words(ejection: Ejection, clock: WallClock) -> str:
    since, until = clock.at(ejection.since), clock.at(ejection.until)
    return Ejection(ejection.reason, since, until).in_words(clock.now())


def _own_version() -> str:
    try:
        return version("lbconsul")
    except PackageNotFoundError:
        return "not installed"
