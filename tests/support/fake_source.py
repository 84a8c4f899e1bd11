"""A source of made-up figures, to try what is shown without a gateway.

``python -m tests.support.fake_source --port 9200`` shows it in a browser; see
``--help`` for how many upstreams there are and how they are.
"""

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred, succeed

from lbconsul.admin.check_status import ChecksStatus, CheckStatus
from lbconsul.admin.event_log import EventLog
from lbconsul.admin.history import MappingHistory
from lbconsul.admin.http_status import (
    HTTPStatus,
    HTTPUpstreamStatus,
    UnhappyConnectionStatus,
    UnhappyStatus,
)
from lbconsul.admin.status_model import (
    CertificateStatus,
    DrainedStatus,
    FaultStatus,
    GatewayStatus,
    Histogram,
    MappingStatus,
    PoolStatus,
    UpstreamStatus,
    WatchStatus,
    WorkerStatus,
)
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.admin.why import CandidateStatus, MappingExplanation, Question, Why
from lbconsul.errors import CannotExplain, CannotOrder
from lbconsul.stats import http
from lbconsul.stats.causes import cause_of
from lbconsul.stats.history import COLUMNS, KEPT
from lbconsul.stats.mapping import CONNECTION
from lbconsul.stats.upstream import CONNECT, FIRST_BYTE

STATES = ("ok", "consul-away", "empty", "starting")

#: Listening address, service, datacenters, policy, share of the upstreams.
_MAPPINGS = (
    ("80:web", "0.0.0.0:80", "web", ("dc1",), "leastconn", 6),
    ("8080:api,dc=dc1|dc2", "0.0.0.0:8080", "api", ("dc1", "dc2"), "leastconn", 3),
    ("unix:/run/graphite.sock:graphite", "unix:/run/graphite.sock", "graphite",
     ("dc1",), "roundrobin", 1),
)  # fmt: skip

#: Standing, reason, and the part of upstreams that have it.
_STANDINGS = (
    ("serving", "passing", 60),
    ("serving", "check 'http' warning: 210 ms", 6),
    ("warming", "slow start, 40 % so far", 3),
    ("draining", "maintenance: upgrading to v2.4", 3),
    ("draining", "check 'tcp' critical: dial tcp: connection refused", 3),
    ("draining", "weight 0", 1),
    ("draining", "deregistered", 1),
    ("ejected", "3 consecutive connect failures, back in 8 s", 3),
    ("suspect", "left together with 7 of 10: used where nobody else is left", 2),
)

Key = tuple[str, int]


def histogram(bounds: tuple[float, ...], count: int, middle: int) -> Histogram:
    """One in which `count` are spread around the bucket `middle`."""
    shares = [2.0 ** -abs(each - middle) for each in range(len(bounds) + 1)]
    total = sum(shares)
    ends = [round(count * each / total) for each in accumulate(shares)]
    counts = [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    seconds = sum(n * b for n, b in zip(counts, (*bounds, bounds[-1]), strict=True))
    return Histogram(bounds, tuple(counts), round(seconds, 6))


def upstream(
    number: int, service: str = "web", datacenter: str = "dc1"
) -> UpstreamStatus:
    """An upstream like many others."""
    service_id, node = f"{service}-{number}", f"node-{number % 40:02}"
    return UpstreamStatus(
        id=upstream_id(datacenter, node, service_id),
        datacenter=datacenter,
        node=node,
        service_id=service_id,
        address=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:8080",
        tags=("v2", "eu-west") if number % 3 else ("v1",),
        weight=1 + number % 3 if number % 5 else 10,
        effective_weight=float(1 + number % 3 if number % 5 else 10),
        standing="serving",
        reason="passing",
        since=1_760_000_000.0 + number,
        connect_time=0.0004 + number % 7 / 5000,
        connect_p50=0.0004 + number % 7 / 5000,
        connect_p99=0.002 + number % 5 / 500,
        first_byte_p50=0.004 + number % 7 / 1000,
        first_byte_p99=0.03 + number % 5 / 100,
    )  # fmt: skip


def unhappy(**fields: Any) -> UnhappyStatus:
    """A request whose upstream reset the connection."""
    row = UnhappyStatus(
        time=1_760_000_000.0, client="192.0.2.7:4711", method="GET",
        host="www.example.com", path="/basket", status=502,
        upstream="dc1/node-01/web-1", reason="SH", cause=cause_of("SH"), retries=1,
    )  # fmt: skip
    return evolve(row, **fields)


def unhappy_connection(**fields: Any) -> UnhappyConnectionStatus:
    """A client for which no upstream accepted."""
    row = UnhappyConnectionStatus(
        time=1_760_000_000.0, client="192.0.2.7:4711", upstream="dc1/node-01/web-1",
        termination="SC", cause=cause_of("SC"), error="Connection refused", retries=3,
        seconds=0.012,
    )  # fmt: skip
    return evolve(row, **fields)


def in_http_mode(mapping: MappingStatus, count: int = 1000) -> MappingStatus:
    """The mapping with so many requests."""
    status = HTTPStatus(
        requests={"other": 0, "1xx": 0, "2xx": count, "3xx": 0, "4xx": 7, "5xx": 2},
        active=3, idle_connections=12, retries=4, reused=count // 2,
        refused={"SC": 1}, first_byte_p50=0.0031, first_byte_p99=0.042,
    )  # fmt: skip
    return evolve(
        mapping,
        http=status,
        request_first_byte_time=histogram(http.FIRST_BYTE, count, 2),
        request_time=histogram(http.REQUEST, count, 3),
        unhappy=(unhappy(), unhappy(status=0, upstream="", path="/cart", reason="SC")),
        failed=2,
    )


def of_http_mapping(upstream: UpstreamStatus, count: int = 100) -> UpstreamStatus:
    """The upstream with so many requests."""
    requests = {"other": 0, "1xx": 0, "2xx": count, "3xx": 0, "4xx": 0, "5xx": 2}
    return evolve(upstream, http=HTTPUpstreamStatus(
        requests=requests, first_byte_p50=0.002, first_byte_p99=0.05,
    ))  # fmt: skip


@define(eq=False)
class FakeHistory:
    """What was put into it, of mappings by name."""

    clock: Callable[[], float]
    step: float = 10.0
    #: By name of the mapping, and column.
    rows: dict[str, dict[str, list[float | None]]] = Factory(dict)

    def times(self) -> list[float]:
        count = max((len(each["open"]) for each in self.rows.values()), default=0)
        now = self.clock()
        return [now - self.step * (count - place) for place in range(count)]

    def mappings(self, names: Iterable[str] = ()) -> Iterator[MappingHistory]:
        for name in tuple(names) or tuple(self.rows):
            if name in self.rows:
                yield MappingHistory(name, self.rows[name])

    def make_up(
        self, name: str, level: float, trouble: int = 0, requests: bool = False
    ) -> None:
        """An hour in waves; in the last `trouble` samples more and more fails."""
        row: dict[str, list[float | None]] = {each: [] for each in COLUMNS}
        for place in range(KEPT):
            wave = 1 + 0.25 * math.sin(place / 23) + 0.06 * math.sin(place * 1.7)
            late = place - (KEPT - trouble)
            bad = min(0.25, late / 60) if trouble and late >= 0 else 0.0
            begun = level * wave
            row["connections"].append(begun)
            row["requests"].append(8 * begun * (1 - bad) if requests else None)
            row["failed"].append(begun * bad)
            row["open"].append(6 * begun * (1 - bad))
            row["received"].append(800 * begun * (1 - bad))
            row["sent"].append(45_000 * begun * (1 - bad))
        self.rows[name] = row


@define(eq=False)
class FakeSource:
    """Shows what was put into it, and does what is ordered to that."""

    clock: Callable[[], float]
    gateway_status: GatewayStatus
    watch_list: list[WatchStatus] = Factory(list)
    mapping_list: list[MappingStatus] = Factory(list)
    #: By mapping and number of the pool: upstreams by id.
    pools: dict[Key, dict[str, UpstreamStatus]] = Factory(dict)
    events: EventLog = field(
        default=Factory(lambda self: EventLog(self.clock), takes_self=True)
    )
    history: "FakeHistory" = field(
        default=Factory(lambda self: FakeHistory(self.clock), takes_self=True)
    )
    #: What was ordered: the verb, and the upstream.
    orders: list[tuple[str, str]] = Factory(list)
    drained_list: list[DrainedStatus] = Factory(list)
    #: What was asked of ``/why``.
    questions: list[Question] = Factory(list)
    tags: TagRoutesSource = Factory(TagRoutesSource)
    drains_last: str = "until it is undrained"
    #: Why nothing can be ordered.
    busy: str = ""
    #: What ejecting comes to, if not to what is wanted.
    ejecting: Deferred[bool] | None = None

    def gateway(self) -> GatewayStatus:
        return evolve(self.gateway_status, now=self.clock())

    def watches(self) -> list[WatchStatus]:
        return list(self.watch_list)

    def mappings(self) -> list[MappingStatus]:
        return list(self.mapping_list)

    def upstreams(self, mapping: str, pool: int) -> Iterator[UpstreamStatus]:
        for each in list(self.pools.get((mapping, pool), {})):
            # It may be gone before it is asked for.
            found = self.pools.get((mapping, pool), {}).get(each)
            if found is not None:
                yield found

    def drained(self) -> list[DrainedStatus]:
        return list(self.drained_list)

    def why(self, question: Question) -> Why:
        self.questions.append(question)
        if not question.url.startswith("http://"):
            raise CannotExplain(f"url: {question.url!r}\nmust be http://...")
        taken = CandidateStatus("80:example.com=web", "example.com", "web")
        mapping = MappingExplanation(
            mapping="80:-", listen="0.0.0.0:80", mode="http", path="/",
            candidates=(taken,), considered=1, winner=taken,
        )  # fmt: skip
        return Why(question.url, question.method, (mapping,))

    @property
    def tag_routes(self) -> TagRoutesSource:
        return self.tags

    def drain(self, upstream: str) -> bool:
        return self._order("drain", upstream, "draining", "drained by hand")

    def undrain(self, upstream: str) -> bool:
        return self._order("undrain", upstream, "serving", "passing")

    def eject(self, upstream: str) -> Deferred[bool]:
        if self.ejecting is not None:
            return self.ejecting
        known = self._order("eject", upstream, "ejected", "by hand, back in 10 s")
        return succeed(known)

    def drain_gateway(self) -> None:
        self.orders.append(("drain", ""))
        self.gateway_status = evolve(
            self.gateway_status, state="draining", ready=False,
            not_ready=("the gateway is draining",),
        )  # fmt: skip
        self.events.add("draining", "nobody new is accepted")

    def alter(self, mapping: str, pool: int, upstream: str, **fields: Any) -> None:
        """An upstream is like this now."""
        members = self.pools[mapping, pool]
        members[upstream] = evolve(members[upstream], **fields)

    def add(self, mapping: str, pool: int, *upstreams: UpstreamStatus) -> None:
        """These are there, too."""
        members = self.pools.setdefault((mapping, pool), {})
        members.update((each.id, each) for each in upstreams)

    def add_mapping(self, name: str, service: str, count: int = 2) -> None:
        """One mapping more, with so many upstreams."""
        query = f"{service},dc=dc1"
        pools = (PoolStatus(query, bool(count), False, count),)
        port = name.partition(":")[0]
        self.mapping_list.append(
            _mapping(name, f"0.0.0.0:{port}", service, "leastconn", 97, pools, "ok")
        )
        self.watch_list.append(_watch(query, service, "dc1", "ok", count))
        self.add(name, 0, *(upstream(number, service) for number in range(count)))

    def check_instances(self) -> None:
        """All mappings have checks of the gateway's own, which pass."""
        checks = ChecksStatus(checked=3, failing=0, under_way=0, late=0.0)
        self.gateway_status = evolve(self.gateway_status, checks=checks)
        passing = CheckStatus(
            check="GET /health",
            state="passing",
            since=self.clock(),
            result="GET /health: 200",
            duration=0.002,
            failures=1,
        )
        for pool in self.pools.values():
            for name, each in pool.items():
                pool[name] = evolve(each, check=passing)

    def speak_http(self) -> None:
        """The first mapping is in HTTP mode."""
        mapping, *others = self.mapping_list
        self.mapping_list = [in_http_mode(mapping), *others]
        for (name, _), members in self.pools.items():
            if name == mapping.name:
                for each in members.values():
                    members[each.id] = of_http_mapping(each)

    def _order(self, verb: str, upstream: str, standing: str, reason: str) -> bool:
        if self.busy:
            raise CannotOrder(self.busy)
        self.orders.append((verb, upstream))
        found = [key for key, members in self.pools.items() if upstream in members]
        for mapping, pool in found:
            self.alter(mapping, pool, upstream, standing=standing, reason=reason,
                       since=self.clock())  # fmt: skip
        kind = {"drain": "drained", "undrain": "undrained"}.get(verb, "ejected")
        if found:
            self.events.add(kind, f"{upstream}: {reason}", upstream=upstream)
        return bool(found)


def fake_source(
    clock: Callable[[], float], upstreams: int = 12, state: str = "ok"
) -> FakeSource:
    """A source as of a gateway that has run for a day."""
    now = clock()
    source = FakeSource(clock, _gateway(now, state))
    chance = random.Random(7)
    parts = sum(each[-1] for each in _MAPPINGS)
    for name, listen, service, datacenters, policy, part in _MAPPINGS:
        share = (
            0 if state in ("empty", "starting") else max(1, upstreams * part // parts)
        )
        if part == max(each[-1] for each in _MAPPINGS) and share:
            others = [each[-1] for each in _MAPPINGS if each[-1] != part]
            share = upstreams - sum(
                max(1, upstreams * each // parts) for each in others
            )
            share = max(1, share)
        accepted = 0 if state == "starting" else share * 4711 + 17
        pools = []
        for number, datacenter in enumerate(datacenters):
            query = f"{service},dc={datacenter}"
            count = share // len(datacenters) + (share % len(datacenters) > number)
            used = number == 0 and bool(count)
            pools.append(PoolStatus(query, used, False, count))
            source.watch_list.append(_watch(query, service, datacenter, state, count))
            source.add(
                name, number, *_upstreams(chance, service, datacenter, count, now)
            )
        source.mapping_list.append(
            _mapping(name, listen, service, policy, accepted, tuple(pools), state)
        )
    for number in range(20):
        name = f"web-{number}"
        source.events.add(*_story(number, name), query="web,dc=dc1",
                          upstream=f"dc1/node-{number:02}/{name}")  # fmt: skip
    if state == "consul-away":
        source.events.add("failing", "web,dc=dc1: no answer from Consul", "web,dc=dc1")
    return source


def _story(number: int, name: str) -> tuple[str, str]:
    stories = (
        ("joined", f"web: {name}@node-{number:02} 10.0.0.{number}:8080 joined"),
        (
            "ejected",
            f"web: {name}@node-{number:02} ejected: 3 consecutive connect failures",
        ),
        ("restored", f"web: {name}@node-{number:02} restored: a connection succeeded"),
        ("changed", f"web: {name}@node-{number:02} draining: maintenance: upgrading"),
        ("left", f"web: {name}@node-{number:02} 10.0.0.{number}:8080 left"),
    )
    return stories[number % len(stories)]


def _gateway(now: float, state: str) -> GatewayStatus:
    starting = state == "starting"
    return GatewayStatus(
        version="0.1.0",
        started=now - (2 if starting else 93_784),
        now=now,
        state="starting" if starting else "serving",
        ready=not starting,
        not_ready=("80:web: Consul has not answered yet",) if starting else (),
        pid=4711,
        changes="need a token",
        workers=tuple(WorkerStatus(n, 4711 + n, True, 20 * n, 5 * n) for n in (1, 2)),
        options={"workers": "2", "token": "(hidden)", "state-dir": "/var/lib/lbconsul"},
        consul=("http://10.0.0.1:8500", "http://10.0.0.2:8500"),
        reactor_lag=0.004,
        open=60,
        accepted=15_000,
        max_connections=30_000,
        log_lines_dropped=7,
        faults=(FaultStatus("pkg.mod:Own", "slow", 3),),
    )  # fmt: skip


def _watch(
    query: str, service: str, datacenter: str, state: str, instances: int
) -> WatchStatus:
    watch = WatchStatus(
        query=query,
        service=service,
        datacenter=datacenter,
        state="watching",
        address="http://10.0.0.1:8500",
        age=1.5,
        index=81_234,
        answers=420,
        changes=37,
        errors=3,
        instances=instances,
        last_error_at=1_760_000_000.0,
    )
    if state == "starting":
        return evolve(watch, state="waiting", age=None, index=0, answers=0, changes=0,
                      errors=0, last_error_at=None)  # fmt: skip
    if state == "consul-away":
        why = "no answer from Consul at http://10.0.0.1:8500: Connection refused"
        return evolve(watch, state="backing off", age=754.2, last_error=why, errors=91,
                      failing_since=1_760_000_100.0)  # fmt: skip
    return watch


def _mapping(
    name: str, listen: str, service: str, policy: str, accepted: int,
    pools: tuple[PoolStatus, ...], state: str,
) -> MappingStatus:  # fmt: skip
    terminations = Counter({"--": accepted * 98 // 100, "SC": accepted // 100, "cD": 3})
    return MappingStatus(
        name=name,
        listen=listen,
        service=service,
        policy=policy,
        listening=state != "starting",
        options={"idle-timeout": "1h", "attempts": "3"},
        accepted=accepted,
        open=accepted % 97,
        terminations=terminations,
        bytes_received=accepted * 800,
        bytes_sent=accepted * 52_000,
        pools=pools,
        connect_time=histogram(CONNECT, accepted, 1),
        first_byte_time=histogram(FIRST_BYTE, accepted, 4),
        connection_time=histogram(CONNECTION, accepted, 3),
        empty=f"Consul has no service {service}" if state == "empty" else "",
    )  # fmt: skip


def certificate(source: str = "/etc/web.pem", **fields: Any) -> CertificateStatus:
    """A certificate that ends in 80 days."""
    row = CertificateStatus(
        source=source, names=("www.example.com",), state="valid", days_left=80,
        not_before=1_750_000_000.0, not_after=1_767_000_000.0, fingerprint="ab" * 32,
    )  # fmt: skip
    return evolve(row, **fields)


def _upstreams(
    chance: random.Random, service: str, datacenter: str, count: int, now: float
) -> Iterator[UpstreamStatus]:
    kinds = [each[:2] for each in _STANDINGS]
    weights = [each[2] for each in _STANDINGS]
    for number in range(count):
        standing, reason = ("serving", "passing")
        if number > 1:
            [(standing, reason)] = chance.choices(kinds, weights)
        each = upstream(number, service, datacenter)
        total = chance.randrange(500, 5000)
        gone = standing in ("draining", "ejected")
        part = 0.0 if gone else 0.4 if standing == "warming" else 1.0
        fair = chance.randrange(3) if gone else each.weight * 6 + chance.randrange(2)
        yield evolve(
            each,
            standing=standing,
            reason=reason,
            since=now - chance.randrange(3, 90_000),
            effective_weight=each.weight * part,
            open=fair,
            total=total,
            bytes_received=total * 800,
            bytes_sent=total * 52_000,
            connect_failures=chance.randrange(0, 30) if standing == "ejected" else 0,
        )  # fmt: skip


@define(eq=False)
class Life:
    """Lets connections come and go, and now and then something happen."""

    source: FakeSource
    chance: random.Random = Factory(random.Random)
    ticks: int = 0

    def tick(self) -> None:
        """A tenth of a second goes by."""
        self.ticks += 1
        for key, members in self.source.pools.items():
            serving = [each for each in members.values() if each.effective_weight > 0]
            if serving:
                for each in self.chance.choices(serving, k=1 + len(serving) // 4):
                    self._connect(key, each)
        if self.ticks % 40 == 0:
            self._happen()
        away = [each for each in self.source.watch_list if each.failing_since]
        self.source.watch_list = [
            evolve(each, age=(each.age or 0) + 0.1) if each in away
            else evolve(each, age=None if each.age is None else self.ticks / 10 % 60)
            for each in self.source.watch_list
        ]  # fmt: skip

    def _connect(self, key: Key, some: UpstreamStatus) -> None:
        mapping, pool = key
        now = self.source.pools[key][some.id]
        fair = now.effective_weight * 6
        step = 1 if now.open < fair or self.chance.random() < 0.4 else -1
        self.source.alter(
            mapping, pool, some.id, open=max(0, now.open + step),
            total=now.total + 1, bytes_received=now.bytes_received + 800,
            bytes_sent=now.bytes_sent + self.chance.randrange(100, 90_000),
        )  # fmt: skip
        self.source.mapping_list = [
            evolve(each, accepted=each.accepted + 1, open=max(0, each.open + step),
                   bytes_received=each.bytes_received + 800,
                   bytes_sent=each.bytes_sent + 45_000)
            if each.name == mapping else each
            for each in self.source.mapping_list
        ]  # fmt: skip
        gateway = self.source.gateway_status
        self.source.gateway_status = evolve(
            gateway, accepted=gateway.accepted + 1, open=max(0, gateway.open + step),
            reactor_lag=self.chance.random() / 100,
        )  # fmt: skip

    def _happen(self) -> None:
        there = [key for key, each in self.source.pools.items() if each]
        key = self.chance.choice(there or [("", 0)])
        members = self.source.pools.get(key)
        if not members:
            return
        some = self.chance.choice(list(members.values()))
        was_out = some.standing != "serving"
        changed = ("serving", "passing") if was_out else self.chance.choice(
            [each[:2] for each in _STANDINGS])  # fmt: skip
        weight = 0.0 if changed[0] in ("draining", "ejected") else float(some.weight)
        now = self.source.clock()
        self.source.alter(*key, some.id, standing=changed[0], reason=changed[1],
                          since=now, effective_weight=weight)  # fmt: skip
        kind = "ejected" if changed[0] == "ejected" else "changed"
        query = self.source.mapping_list[0].pools[0].query
        name = f"{some.service_id}@{some.node} {some.address}"
        text = f"{name} is {changed[0]}: {changed[1]}"
        self.source.events.add(kind, text, query, some.id)


class FixedToken:
    """A token that is no secret."""

    def __init__(self, token: str) -> None:
        self._token = token

    def is_it(self, said: str) -> bool:
        return said == self._token


def main() -> None:
    """Show a made-up gateway until interrupted."""
    from twisted.internet import reactor as installed
    from twisted.internet.task import LoopingCall

    from lbconsul.admin.server import AdminServer
    from lbconsul.admin.static_files import pages
    from lbconsul.config.listen import TCPListen

    parser = argparse.ArgumentParser(prog="python -m tests.support.fake_source")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--upstreams", type=int, default=12)
    parser.add_argument("--state", choices=STATES, default="ok")
    parser.add_argument(
        "--token", default="demo", help="for changes ['demo']; '': none"
    )
    parser.add_argument("--still", action="store_true", help="let nothing happen")
    said = parser.parse_args()
    reactor: Any = installed
    source = fake_source(reactor.seconds, said.upstreams, said.state)
    server = AdminServer(
        reactor, TCPListen(said.host, said.port), source, source.events,
        FixedToken(said.token) if said.token else None,
    )  # fmt: skip
    server.startService()
    LoopingCall(pages.cache_clear).start(1)  # the page may be being written
    if not said.still:
        LoopingCall(Life(source).tick).start(0.1, now=False)
    print(f"{server.address} token {said.token or '(none)'}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
