"""A made-up gateway in a process of its own, which does what a test says.

usage: python -m tests.browser.made_up OPTIONS

It says when it is ready, takes orders from its input, each a JSON list on a line, and
ends with its input.
"""

import json
import math
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, react
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lbconsul.admin import routes, status_json
from lbconsul.admin.check_status import CheckStatus
from lbconsul.admin.event_log import EventLog
from lbconsul.admin.server import AdminServer
from lbconsul.admin.status_model import DrainStatus, SplitStatus, UpstreamStatus
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS
from lbconsul.steps import finish
from lbconsul.tls.material import building, reading
from tests.support.fake_source import (
    FakeSource,
    FixedToken,
    Life,
    certificate,
    fake_source,
    unhappy,
    unhappy_connection,
    upstream,
)
from tests.support.loopback import PATIENCE
from tests.support.ports import free_ports
from tests.support.program import OwnProgram

#: Fields of the status that version 0.1.0 did not have.
NEW_FIELDS = frozenset(
    {
        "cause", "connect_p50", "connect_p99", "consul_ui", "drain", "drain_began_with",
        "failed", "failures_per_minute", "first_byte_p50", "first_byte_p99",
        "last_error", "last_error_at", "unhappy_connections",
    }
)  # fmt: skip

#: The mapping and the pool that tests work on.
WEB = ("80:web", 0)
QUESTION = "web,dc=dc1"


class MadeUp(OwnProgram):
    """A gateway that shows what a test makes up.

    `lively` lets connections come and go; without it only orders change anything.
    """

    def __init__(
        self,
        upstreams: int = 12,
        state: str = "ok",
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "demo",
        lively: bool = False,
        reader: str = "",
        tls: str = "",
    ) -> None:
        self.port = port or free_ports(1)[0]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
        options = [str(upstreams), state, host, str(self.port), token, reader]
        options += [tls, str(int(lively))]
        super().__init__([sys.executable, "-m", "tests.browser.made_up", *options])

    def stop(self) -> None:
        """Stop the gateway: its port refuses connections."""
        self.end(timeout=PATIENCE)

    def say(self, verb: str, *arguments: object) -> None:
        """Give an order: its verb is the name of a method of `Orders`."""
        self.tell(json.dumps([verb, *arguments]))


@define(eq=False)
class Orders:
    """What a test may say."""

    source: FakeSource

    def join(self, number: int, fields: dict[str, Any]) -> None:
        """An upstream is new, and an event tells it."""
        new = evolve(upstream(number), since=self.source.clock(), **fields)
        self.source.add(*WEB, new)
        self._tell("joined", new, f"{new.service_id}@{new.node} joined")

    def use(self, is_used: bool) -> None:
        """Whether any pool of the mapping is in use."""
        mapping, *others = self.source.mapping_list
        pools = [evolve(each, used=is_used) for each in mapping.pools[:1]]
        pools += mapping.pools[1:]
        self.source.mapping_list = [evolve(mapping, pools=tuple(pools)), *others]

    def leave(self, service_id: str) -> None:
        """One has left."""
        gone = self._one(service_id)
        del self.source.pools[WEB][gone.id]
        self._tell("left", gone, f"{service_id} left")

    def alter(self, service_id: str, kind: str, fields: dict[str, Any]) -> None:
        """One is like this now; an event tells it, unless `kind` is empty."""
        old = self._one(service_id)
        self.source.alter(*WEB, old.id, **fields)
        if kind:
            self._tell(kind, old, _in_words(kind, evolve(old, **fields)))

    def gateway(self, fields: dict[str, Any]) -> None:
        """The gateway is like this now."""
        self.source.gateway_status = evolve(self.source.gateway_status, **fields)

    def drain(self, fields: dict[str, Any], drain: dict[str, Any]) -> None:
        """The gateway is like this now, and drains."""
        self.gateway({**fields, "drain": DrainStatus(**drain)})

    def watches(self, fields: dict[str, Any]) -> None:
        """All watches are like this now."""
        self.source.watch_list = [
            evolve(each, **fields) for each in self.source.watches()
        ]

    def certify(self, certificates: list[dict[str, Any]], error: str) -> None:
        """The first mapping has these certificates."""
        mapping, *others = self.source.mapping_list
        secure = evolve(
            mapping,
            certificates=tuple(certificate(**each) for each in certificates),
            certificates_in_use=len(certificates),
            certificates_error=error,
        )
        self.source.mapping_list = [secure, *others]

    def speak_http(self) -> None:
        """The first mapping is in HTTP mode."""
        self.source.speak_http()

    def fail(self, paths: list[str]) -> None:
        """Requests for these paths went wrong, one after the other."""
        mapping, *others = self.source.mapping_list
        for path in paths:
            new = unhappy(path=path, time=self.source.clock())
            last = (new, *mapping.unhappy)[:50]
            mapping = evolve(mapping, unhappy=last)
        self.source.mapping_list = [mapping, *others]

    def fail_connections(self, rows: list[dict[str, Any]]) -> None:
        """Connections of the first mapping went wrong, one after the other."""
        mapping, *others = self.source.mapping_list
        for row in rows:
            new = unhappy_connection(**{"time": self.source.clock(), **row})
            last = (new, *mapping.unhappy_connections)[:50]
            failed = mapping.failed + new.count
            mapping = evolve(mapping, unhappy_connections=last, failed=failed)
        self.source.mapping_list = [mapping, *others]

    def remember(self, trouble: int = 0) -> None:
        """There was an hour before; in the last of its samples more and more failed."""
        for number, mapping in enumerate(self.source.mapping_list):
            level = (38.0, 20.0, 8.0, 4.0, 1.0)[number % 5]
            bad = trouble if number == 0 else 0
            self.source.history.make_up(mapping.name, level, bad)

    def break_down(self) -> None:
        """From now on connections of the first mapping go wrong, several a second."""
        LoopingCall(self._fail_once).start(0.12, now=False)

    def _fail_once(self) -> None:
        number = self.source.mapping_list[0].failed
        client = (
            f"10.3.{number % 5}.{17 + number * 7 % 90}:{40_000 + number * 37 % 9000}"
        )
        row = {"client": client, "retries": 2, "seconds": 0.004, "count": 1}
        self.fail_connections([row])

    def be_old(self) -> None:
        """Show what a gateway of version 0.1.0 did: no history, and fewer fields."""
        shape = status_json._shape

        def of_then(of: Any) -> Any:
            names, _ = shape(of)
            kept = tuple(each for each in names if each not in NEW_FIELDS)
            return kept, attrgetter(*kept)

        setattr(status_json, "_shape", of_then)  # noqa: B010
        routes._SHOWN.pop("/history")

    def fill(self, count: int) -> None:
        """There are so many mappings more, which are in order."""
        for number in range(count):
            self.source.add_mapping(f"{9000 + number}:svc-{number}", f"svc-{number}")

    def map(self, name: str, fields: dict[str, Any]) -> None:
        """One mapping is like this now."""
        self.source.mapping_list = [
            evolve(each, **fields) if each.name == name else each
            for each in self.source.mapping_list
        ]

    def ask(self, count: int) -> None:
        """So many more requests are over, each answered by the first upstream."""
        mapping, *others = self.source.mapping_list
        assert mapping.http is not None
        requests = mapping.http.requests
        requests = {**requests, "2xx": requests["2xx"] + count}
        http = evolve(mapping.http, requests=requests)
        self.source.mapping_list = [evolve(mapping, http=http), *others]
        first = self._one("web-0")
        assert first.http is not None
        requests = {**first.http.requests, "2xx": first.http.requests["2xx"] + count}
        http_of_first = evolve(first.http, requests=requests)
        self.source.alter(*WEB, first.id, http=http_of_first)

    def fail_checks(self) -> None:
        """The own checks of all upstreams of the first mapping fail; they serve."""
        failing = CheckStatus(check="GET /", state="failing", since=0.0, result="404")
        for each in self.source.pools[WEB]:
            self.source.alter(
                *WEB, each, check=failing, standing="serving", reason="404; used"
            )

    def split(self, name: str, part: str) -> None:
        """A mapping is a part of a split."""
        self.map(name, {"split": SplitStatus("80:web", part, 0.5)})

    def unmap(self) -> None:
        """There is no mapping."""
        self.source.mapping_list = []
        self.source.watch_list = []

    def route(self, pattern: str) -> None:
        """There is one mapping, and a service only for the clients of one route."""
        mapping, *_ = self.source.mapping_list
        own = evolve(mapping, name="443:-", service="", pools=())
        self.source.mapping_list = [own, evolve(mapping, route=pattern)]
        self.source.watch_list = self.source.watch_list[:1]

    def only(self, count: int) -> None:
        """There is one mapping, of one pool of so many."""
        self.source.mapping_list = self.source.mapping_list[:1]
        self.source.watch_list = self.source.watch_list[:1]
        for number in range(len(self.source.pools[WEB]), count):
            self.source.add(*WEB, upstream(number))

    def _one(self, service_id: str) -> UpstreamStatus:
        every = self.source.pools[WEB].values()
        return next(each for each in every if each.service_id == service_id)

    def _tell(self, kind: str, about: UpstreamStatus, text: str) -> None:
        self.source.events.add(kind, text, QUESTION, about.id)


def _in_words(kind: str, upstream: UpstreamStatus) -> str:
    name = f"{upstream.service_id}@{upstream.node}"
    return f"{name} {upstream.address} {kind}: {upstream.reason}"


def past(clock: Callable[[], float]) -> EventLog:
    """What has happened so far: how many seconds ago, and what."""
    stories = (
        (5412.0, "failing", "no answer from Consul: Connection refused"),
        (5375.0, "recovered", "Consul answers again"),
        (3190.0, "joined", "web-3@node-03 10.0.0.3:8080 joined"),
        (
            1240.0,
            "ejected",
            "web-1@node-01 ejected: 3 consecutive connect failures; back in 10 s",
        ),
        (1229.0, "restored", "web-1@node-01 restored: a connection succeeded"),
        (845.0, "drained", "dc1/node-02/web-2 drained: by hand"),
        (612.0, "undrained", "dc1/node-02/web-2 undrained: by hand"),
        (307.0, "left", "web-9@node-09 10.0.0.9:8080 left"),
    )
    ago = 0.0
    log = EventLog(lambda: clock() - ago)
    for seconds, kind, text in stories:
        ago = seconds
        log.add(kind, text, QUESTION)
    ago = 0.0
    return log


class Calm(Life):
    """Connections come and go in waves, and nothing happens unless it is ordered."""

    def tick(self) -> None:
        """A tenth of a second goes by."""
        wave = 1.2 + math.sin(self.ticks / 90) + self.chance.random()
        for _ in range(max(1, round(wave))):
            super().tick()

    def _happen(self) -> None:
        """A test says what happens."""


class _Input(LineOnlyReceiver):
    """Does each line, and notes the end."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, do: Callable[..., None], ended: Deferred[None]) -> None:
        self._do = do
        self._ended = ended

    def lineReceived(self, line: bytes) -> None:
        self._do(*json.loads(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended.callback(None)


async def serve(reactor: Any, arguments: list[str]) -> None:
    """Show a made-up gateway until the standard input ends."""
    upstreams, state, host, port, token, reader, tls, lively = arguments
    source = fake_source(reactor.seconds, int(upstreams), state)
    if not token:
        source.gateway_status = evolve(source.gateway_status, changes="off")
    if int(lively):
        source.events = past(reactor.seconds)
        LoopingCall(Calm(source).tick).start(0.1, now=False)
    server = AdminServer(
        reactor,
        TCPListen(host, int(port)),
        source,
        source.events,
        FixedToken(token) if token else None,
        read_token=FixedToken(reader) if reader else None,
        is_needed=True,
    )
    if tls:
        material = finish(reading("admin", TLS(tls)))
        server.use_tls(finish(building(TLS(tls), material, reactor.seconds)))
    server.startService()
    orders = Orders(source)
    ended: Deferred[None] = Deferred()
    StandardIO(
        _Input(lambda verb, *rest: getattr(orders, verb)(*rest), ended),
        reactor=reactor,
    )
    print("ready", flush=True)
    await ended


def main(arguments: list[str]) -> None:
    """Serve until the standard input ends."""
    observer = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    react(lambda reactor: Deferred.fromCoroutine(serve(reactor, arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
