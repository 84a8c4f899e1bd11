"""What is shown of a gateway, and what is ordered of it."""

import os
import time
from collections import Counter
from collections.abc import Mapping as AbstractMapping
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbconsul.admin.status_model import (
    DrainStatus,
    FullStatus,
    RegistrationStatus,
    StatusSource,
    UpstreamStatus,
    WatchStatus,
)
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.balance.events import EventKind, UpstreamEvent
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.config.build import configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS, Config, Mapping
from lbconsul.gateway.availability import Availability
from lbconsul.gateway.graceful_shutdown import GracefulShutdown
from lbconsul.gateway.history import HistoryRecorder
from lbconsul.gateway.interfaces import Stage
from lbconsul.gateway.operations import Operations
from lbconsul.gateway.status import StatusCollector
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.process.clock import WallClock
from lbconsul.process.reactor_lag import EVERY, Lag
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.messages import Count, Report
from lbconsul.workers.worker_process import WorkerProcess
from tests.support.events import EventRecorder
from tests.support.fake_answers import FakeAnswers
from tests.support.instances import an_identity, an_instance
from tests.support.no_checks import NoChecks

A = an_identity("a")
A_ID = "dc1/node-1/a"


@define(eq=False)
class FakeDataPlane:
    """A data plane that serves what the test says."""

    registry: Registry
    mappings: list[Mapping]
    open: int = 0
    accepted: int = 0
    connection_limit: ConnectionLimit = Factory(lambda: ConnectionLimit(Clock()))
    workers: list[WorkerProcess] = Factory(list)
    listening: bool = True
    told: MappingTraffic = Factory(MappingTraffic)
    ejected: list[Identity] = Factory(list)
    #: Why none can be ejected.
    busy: str = "it is busy"
    full: Counter[Full] = Factory(Counter)
    faults: Counter[tuple[str, str]] = Factory(Counter)

    def mapping(self, name: str) -> Mapping | None:
        return {str(each): each for each in self.mappings}.get(name)

    def is_listening(self, mapping: Mapping) -> bool:
        return self.listening

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        return self.told

    def stats_of(self, mapping: Mapping) -> list[MappingStats]:
        return [self.told.stats]

    @property
    def sweeper(self) -> TimeSlicer:
        return TimeSlicer(Clock())

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        self.registry.set_drained(drained)

    def eject(self, identity: Identity) -> Deferred[str]:
        self.ejected.append(identity)
        return succeed(self.busy)


class FakeCertificates:
    """No mapping has TLS."""

    def of(self, tls: TLS) -> None:
        """Nothing."""

    def blocks(self, mapping: Mapping) -> str:
        return ""


@define(eq=False)
class FakePasswords:
    """What is wrong with the passwords of all mappings."""

    wrong: str = ""

    def error(self, mapping: Mapping) -> str:
        return self.wrong


@define(eq=False)
class FakeRegistrations:
    """What is registered in Consul."""

    rows: tuple[RegistrationStatus, ...] = ()

    def states(self) -> tuple[RegistrationStatus, ...]:
        return self.rows


@define(eq=False)
class FakeGateway:
    """A gateway that drains without end."""

    config: Config
    registry: Registry
    data_plane: Any
    availability: Availability
    operations: Operations
    certificates: FakeCertificates = Factory(FakeCertificates)
    passwords: FakePasswords = Factory(FakePasswords)
    registrations: FakeRegistrations = Factory(FakeRegistrations)
    own_checks: NoChecks = Factory(NoChecks)
    watch_states: list[WatchStatus] = Factory(list)
    is_draining: bool = False
    stage: Stage = Stage.SERVING
    shutdown: GracefulShutdown | None = None
    running: int = 1
    log_lines_dropped: int = 0

    tag_routes_source = TagRoutesSource()
    registered_as: list[tuple[Mapping, str]] = Factory(list)

    #: Of its only mapping.
    tags: TagMapping | None = None

    def tag_mapping(self, mapping: Mapping) -> TagMapping | None:
        return self.tags

    def why_closed(self, row: Mapping) -> str:
        return "closed" if row.route and not row.service else ""

    def use(self, config: Config) -> None:
        self.config = config

    def shut_down(self) -> None:
        self.is_draining = True


class StatusStage:
    """A gateway with these mappings, and what is shown of it."""

    def __init__(self, *mappings: str, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        #: By how much the wall clock is ahead of the reactor's.
        self.ahead = 0.0
        self.observer = EventRecorder()
        self.noted = self.observer.events
        self.registry = Registry(lambda: 0.0, seconds=self.clock.seconds)
        config = configure(mappings=mappings or ["80:web"], **options)
        self.data_plane: Any = FakeDataPlane(self.registry, list(config.mappings))
        self.availability = Availability(
            self.clock, self.registry, FakeAnswers(), self.observer
        )
        for each in config.mappings:
            self.registry.failover(failover_spec(each))
            self.availability.add(each)
        self.operations = Operations(
            self.clock,
            cast(Any, self.data_plane),
            self.observer,
            lambda: "",
        )
        self.gateway = FakeGateway(
            config, self.registry, self.data_plane, self.availability, self.operations
        )
        self.lag = Lag(self.clock)
        self.collector = StatusCollector(
            self.gateway,
            self.clock.seconds(),
            WallClock(self.clock.seconds, lambda: self.clock.seconds() + self.ahead),
            self.lag,
            history=HistoryRecorder(self.clock, cast(Any, self.gateway)),
        )

    def answer(self, *instances: Any, **query: Any) -> None:
        """Consul says that these are the instances of web."""
        asked = ServiceQuery(**({"service": "web"} | query))
        self.registry.replace(asked, instances)
        self.availability.look(asked)

    def upstreams(self, name: str = "80:web", pool: int = 0) -> list[UpstreamStatus]:
        """What is shown of a pool."""
        return list(self.collector.upstreams(name, pool))

    def upstream(self) -> UpstreamStatus:
        """What is shown of the only one."""
        [found] = self.upstreams()
        return found


def _fail(pool: Pool, upstream: Upstream) -> None:
    """The upstream refuses a connection."""
    lease = Lease(upstream, pool, probing=False)
    lease.showed(Outcome.REFUSED)
    lease.end()


def test_is_a_source() -> None:
    """The collector provides what the admin listener shows."""
    source: StatusSource = StatusStage().collector
    assert source.watches() == []


class TestGateway:
    """The gateway as a whole."""

    def test_numbers(self) -> None:
        """Its age, its counts, its limit, and the lag of its reactor are shown."""
        shown = StatusStage()
        shown.lag.start()
        shown.clock.advance(EVERY + 2)
        served = shown.data_plane
        served.open, served.accepted, served.connection_limit.limit = 1, 2, 3
        status = shown.collector.gateway()
        assert (status.started, status.now) == (1000.0, 1002.25)
        shown.ahead = -600
        status = shown.collector.gateway()
        assert (status.started, status.now) == (400.0, 402.25)
        assert (status.open, status.accepted, status.max_connections) == (1, 2, 3)
        assert (status.reactor_lag, status.pid, status.workers) == (2, os.getpid(), ())
        assert status.consul == ("http://127.0.0.1:8500",)
        assert status.version

    def test_token(self) -> None:
        """No secret is shown."""
        status = StatusStage(token="s3cret").collector.gateway()
        assert status.options["token"] == "(hidden)"
        assert "s3cret" not in repr(status)

    def test_workers(self) -> None:
        """Of each worker it is shown what it reported last."""
        shown = StatusStage()
        member = WorkerProcess(
            None, 3, cast(Any, None), cast(Any, None), cast(Any, None)
        )
        member.pid, member.report = 4711, Report(1, Count(8, 5), 5, True)
        shown.data_plane.workers.append(member)
        [worker] = shown.collector.gateway().workers
        assert (worker.number, worker.pid, worker.serves) == (3, 4711, True)
        assert (worker.open, worker.accepted) == (5, 8)

    def test_ready_once_every_mapping_is_served(self) -> None:
        """
        The gateway is ready once Consul has answered for every mapping, and all listen.
        """
        shown = StatusStage("80:web", "81:mail,dc=dc1|dc2")
        shown.data_plane.listening = False
        shown.answer(an_instance("a"))
        status = shown.collector.gateway()
        assert (status.ready, status.state) == (False, "starting")
        assert status.not_ready == (
            "80:web: not listening yet",
            "81:mail: no answer from Consul yet",
        )
        shown.data_plane.listening = True
        shown.answer(an_instance("b"), service="mail", datacenter="dc2")
        status = shown.collector.gateway()
        assert (status.ready, status.state, status.not_ready) == (True, "serving", ())

    def test_reached_limits_are_shown(self) -> None:
        """
        Limits that are reached are shown, with the number of processes; the gateway
        stays ready.
        """
        shown = StatusStage()
        shown.answer(an_instance("a"))
        shown.data_plane.full = Counter(
            {Full("process"): 1, Full("max-connections", "x"): 2}
        )
        status = shown.collector.gateway()
        assert status.full == (
            FullStatus("max-connections", "x", 2),
            FullStatus("process"),
        )
        assert status.ready

    def test_never_had_an_instance(self) -> None:
        """
        A mapping without an instance keeps the gateway from being ready, and says why
        it is empty.
        """
        shown = StatusStage()
        shown.answer()
        why = "Consul shows no instance of web"
        assert shown.collector.gateway().not_ready == (
            f"80:web: no usable instance yet: {why}",
        )
        assert next(shown.collector.mappings()).empty == why
        shown.answer(an_instance("a"))
        assert shown.collector.gateway().ready
        assert next(shown.collector.mappings()).empty == ""

    def test_progress_of_a_drain(self) -> None:
        """A drain shows since when it is, until when, and how many were open."""
        shown = StatusStage()
        shown.ahead = 500.0
        assert shown.collector.gateway().drain is None
        shown.gateway.shutdown = GracefulShutdown(
            shown.clock, shown.data_plane, since=990.0, until=1290.0, began_with=12
        )
        assert shown.collector.gateway().drain == DrainStatus(1490.0, 1790.0, 12)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "http://127.0.0.1:8500/ui"),
            ({"consul": ["https://c:1/sub"]}, "https://c:1/sub/ui"),
            ({"consul": ["unix:///c.sock"]}, ""),
            (
                {"consul": ["unix:///c.sock"], "consul_ui": "https://c/ui"},
                "https://c/ui",
            ),
            ({"consul_ui": "off"}, ""),
            (
                {"namespace": "team", "partition": "p"},
                "http://127.0.0.1:8500/ui/_p/~team",
            ),
        ],
    )
    def test_consul_ui(self, options: dict[str, Any], expected: str) -> None:
        """The page of Consul is at its address, unless another one is given."""
        shown = StatusStage(**options)
        assert shown.collector.gateway().consul_ui == expected

    def test_draining(self) -> None:
        """A draining gateway is not ready, and says so."""
        shown = StatusStage()
        shown.answer(an_instance("a"))
        shown.collector.drain_gateway()
        status = shown.collector.gateway()
        assert (status.ready, status.state) == (False, "draining")
        assert status.not_ready == ("draining: no new clients are accepted",)


class TestMappings:
    """What is listened on."""

    def test_counts(self) -> None:
        """
        Connections accepted and not ended are open; bytes of open ones count as well.
        """
        shown = StatusStage("80:web,policy=p2c")
        told = shown.data_plane.told
        told.queued = 1
        told.stats.accepted = 5
        told.stats.connected(A, 0.003)
        told.stats.over(A, 10, 100, 2.0, "--")
        told.stats.turned_away("SC")
        told.stats.moved(A, 1, 2)
        [status] = shown.collector.mappings()
        assert (status.name, status.listen) == ("80:web", "0.0.0.0:80")
        assert (status.service, status.policy) == ("web", "p2c")
        assert (status.accepted, status.open, status.queued) == (5, 3, 1)
        assert status.terminations == {"--": 1, "SC": 1}
        assert (status.bytes_received, status.bytes_sent) == (11, 102)
        assert status.listening
        assert status.options["policy"] == "p2c"
        assert sum(status.connect_time.counts) == 1
        assert status.connection_time.sum == 2.0
        assert len(status.connect_time.counts) == len(status.connect_time.bounds) + 1

    def test_told_late(self) -> None:
        """
        A connection whose end was reported before its beginning makes no number
        negative.
        """
        shown = StatusStage()
        shown.data_plane.told.stats.turned_away("SC")
        assert next(shown.collector.mappings()).open == 0

    def test_lent(self) -> None:
        """A mapping whose clients an embedder accepts has no address."""
        shown = StatusStage()
        shown.data_plane.mappings.append(Mapping("own"))
        status = [*shown.collector.mappings()][1]
        assert (status.name, status.listen) == ("own", "")

    def test_routes(self) -> None:
        """A route is shown by itself, and so is a mapping that has only routes."""
        shown = StatusStage()
        listen = TCPListen("0.0.0.0", 443)
        own, route = Mapping("", listen), Mapping("web", listen, route="a.com")
        shown.data_plane.mappings = [own, route]
        shown.answer(an_instance("a"))
        status = [*shown.collector.mappings()]
        assert [(each.name, each.route, each.service) for each in status] == [
            ("443:-", "", ""),
            ("443:a.com=web", "a.com", "web"),
        ]
        assert [len(each.pools) for each in status] == [0, 1]
        assert [len(shown.upstreams(name)) for name in ("443:a.com=web",)] == [1]

    def test_pools(self) -> None:
        """Of several datacenters the used one is marked; so is a fallback."""
        shown = StatusStage("80:web,dc=dc1|dc2,when-empty=fallback=sorry")
        shown.answer(an_instance("a"), an_instance("b"), datacenter="dc2")
        shown.data_plane.told.used = {1}
        pools = next(shown.collector.mappings()).pools
        assert [
            (each.query, each.service, each.used, each.fallback, each.upstreams)
            for each in pools
        ] == [
            ("web,dc=dc1", "web", False, False, 0),
            ("web,dc=dc2", "web", True, False, 2),
            ("sorry", "sorry", False, True, 0),
        ]


class TestUpstreams:
    """The instances of a pool."""

    def test_a_whole_upstream(self) -> None:
        """All that is known of an instance is shown."""
        shown = StatusStage()
        shown.answer(an_instance("a", weight=3, tags=["v2"], reason="fine"))
        stats = shown.data_plane.told.stats
        stats.connected(A, 0.5)
        stats.failed(A, 90.0, "refused")
        stats.over(A, 10, 20, 1.0, "--")
        stats.moved(A, 1, 2)
        assert shown.upstream() == UpstreamStatus(
            id=A_ID,
            datacenter="dc1",
            node="node-1",
            service_id="a",
            address="192.0.2.1:8080",
            tags=("v2",),
            weight=3,
            effective_weight=3.0,
            standing="serving",
            reason="fine",
            since=1000.0,
            total=1,
            bytes_received=11,
            bytes_sent=22,
            connect_failures=1,
            connect_time=0.5,
            connect_p50=0.375,
            connect_p99=0.4975,
            last_error="refused",
            last_error_at=90.0,
        )

    def test_nothing_yet(self) -> None:
        """One without a connection has no connect time, and zeros."""
        shown = StatusStage()
        shown.answer(an_instance("a", host="2001:db8::1"))
        found = shown.upstream()
        assert (found.address, found.connect_time) == ("[2001:db8::1]:8080", None)
        assert (found.total, found.connect_failures, found.bytes_sent) == (0, 0, 0)

    def test_open(self) -> None:
        """Its open connections are those of all mappings."""
        shown = StatusStage("80:web", "81:web,tag=v2")
        shown.answer(an_instance("a", tags=["v2"]))
        for mapping in shown.data_plane.mappings:
            shown.registry.failover(failover_spec(mapping)).lease()
        assert [shown.upstreams(each)[0].open for each in ("80:web", "81:web")] == [
            2,
            2,
        ]

    def test_warming(self) -> None:
        """While it warms up less than its weight counts."""
        shown = StatusStage("80:web,slow-start=10s")
        shown.answer(an_instance("a"))
        shown.answer(an_instance("a"), an_instance("b", weight=2))
        _, found = shown.upstreams()
        assert (found.standing, found.weight) == ("warming", 2)
        assert found.effective_weight == pytest.approx(0.2)

    def test_ejected(self) -> None:
        """The status of an ejected upstream has the reason."""
        shown = StatusStage()
        shown.answer(an_instance("a"), an_instance("b"))
        failover = shown.registry.failover(failover_spec(shown.data_plane.mappings[0]))
        upstream, _ = failover.pools[0].upstreams()
        for _ in range(3):
            _fail(failover.pools[0], upstream)
        found, _ = shown.upstreams()
        assert found.standing == "ejected"
        assert found.reason.startswith(
            "ejected 0 s ago: 3 consecutive connect failures"
        )

    def test_ejected_by_a_worker(self) -> None:
        """So does one that a worker has ejected, unless Consul says worse of it."""
        shown = StatusStage()
        shown.data_plane.told.ejected = {
            (0, A): (Ejection("it failed", 995.0, 1002.0), 990.0)
        }
        shown.answer(an_instance("a"), an_instance("b"))
        one, other = shown.upstreams()
        assert (one.standing, one.since) == ("ejected", 990.0)
        assert one.reason == "ejected 5 s ago: it failed, back in 2 s"
        assert (other.standing, other.since) == ("serving", 1000.0)
        shown.ahead = 1e9
        assert [each.since for each in shown.upstreams()] == [1e9 + 990, 1e9 + 1000]
        # The failover has a clock of its own, with the same time.
        shown.data_plane.workers = [WorkerProcess.__new__(WorkerProcess)]
        one, other = shown.upstreams()
        assert one.since == pytest.approx(time.time() - time.monotonic() + 990, abs=1)
        assert other.since == 1e9 + 1000
        ill = an_instance("a", status="critical", reason="on fire")
        shown.answer(ill, *(an_instance(name) for name in "bcd"))
        one, *_ = shown.upstreams()
        assert (one.standing, one.reason) == ("draining", "on fire")

    def test_ejected_elsewhere(self) -> None:
        """Ejected in one pool, it may serve in another one of the same mapping."""
        shown = StatusStage("80:web,when-empty=fallback=sorry")
        shown.data_plane.told.ejected = {
            (1, A): (Ejection("it failed", 995.0, 1002.0), 990.0)
        }
        shown.answer(an_instance("a"))
        assert shown.upstream().standing == "serving"

    def test_progress_of_its_drain(self) -> None:
        """While it drains it shows how many connections were open when that began."""
        shown = StatusStage()
        shown.answer(an_instance("a"))
        assert shown.upstream().drain_began_with is None
        failover = shown.registry.failover(failover_spec(shown.data_plane.mappings[0]))
        leases = [failover.lease() for _ in range(3)]
        shown.operations.drain(A)
        leases[0].end()
        found = shown.upstream()
        assert (found.standing, found.drain_began_with, found.open) == (
            "draining",
            3,
            2,
        )

    def test_no_such_mapping(self) -> None:
        """A mapping that was removed meanwhile has none."""
        assert StatusStage().upstreams("81:web") == []

    def test_all_gone_meanwhile(self) -> None:
        """While they are shown one by one they may go, and with them their pool."""
        shown = StatusStage()
        shown.answer(*(an_instance(name) for name in "abcd"))
        failover = shown.registry.failover(failover_spec(shown.data_plane.mappings[0]))
        for upstream in tuple(failover.pools[0].upstreams())[2:]:
            for _ in range(3):
                _fail(failover.pools[0], upstream)
        found = shown.collector.upstreams("80:web", 0)
        next(found)
        shown.registry.keep_only([])
        assert len(list(found)) == 3


class TestOrders:
    """What an operator wants."""

    def test_drain_and_undrain(self) -> None:
        """A drained upstream has nothing new until it is undrained; both are noted."""
        shown = StatusStage()
        shown.answer(an_instance("a"), an_instance("b"))
        assert shown.collector.drain(A_ID)
        assert [each.standing for each in shown.upstreams()] == ["draining", "serving"]
        assert shown.upstreams()[0].reason == "drained by hand"
        assert shown.collector.drain("dc1/node-1/b")
        assert shown.collector.undrain(A_ID)
        assert [each.standing for each in shown.upstreams()] == ["serving", "draining"]
        assert shown.noted == [
            UpstreamEvent(kind=kind, instance=identity, reason="by hand")
            for kind, identity in (
                (EventKind.DRAINED, A),
                (EventKind.DRAINED, an_identity("b")),
                (EventKind.UNDRAINED, A),
            )
        ]

    def test_eject(self) -> None:
        """The data plane ejects the upstream, and says why it cannot."""
        shown = StatusStage()
        shown.answer(an_instance("a"))
        said: list[Any] = []
        shown.collector.eject(A_ID).addErrback(said.append)
        [failure] = said
        assert str(failure.value) == f"{A_ID} cannot be ejected: it is busy"
        assert shown.data_plane.ejected == [A]
        shown.data_plane.busy = ""
        shown.collector.eject(A_ID).addCallback(said.append)
        assert said[1:] == [True]

    def test_nobody(self) -> None:
        """An upstream that Consul does not have cannot be ejected."""
        shown = StatusStage()
        shown.answer(an_instance("b"))
        collector = shown.collector
        assert not collector.drain(A_ID)
        assert not collector.undrain(A_ID)
        said: list[bool] = []
        collector.eject(A_ID).addCallback(said.append)
        assert said == [False]
        assert (shown.noted, shown.data_plane.ejected) == ([], [])

    @pytest.mark.parametrize("name", ["a/b c", "%2F", "ä", "..", "\ud800"])
    def test_odd_names(self, name: str) -> None:
        """A service id may be anything; the id that is shown leads back to it."""
        shown = StatusStage()
        identity = Identity("dc 1", "node/1", name)
        shown.answer(evolve(an_instance("a"), identity=identity))
        assert shown.collector.drain(shown.upstream().id)
        assert shown.registry.drained == {identity: 0}
        [drained] = shown.collector.drained()
        assert (drained.service_id, drained.registered) == (name, True)
        assert drained.id == shown.upstream().id
        assert "--state-dir" in shown.collector.drains_last
