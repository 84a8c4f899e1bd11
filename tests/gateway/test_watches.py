"""Which queries are asked, with which client, and until when."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.balance.events import EventKind, QueryEvent
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.consul.client import MAX_CONNECTIONS, ConsulClient, Reply
from lbconsul.gateway.watches import Watches
from lbconsul.process.clock import WallClock
from lbconsul.steps import finish
from tests.support.fake_resolver import FakeResolver

WEB, MAIL, SHOP = ServiceQuery("web"), ServiceQuery("mail"), ServiceQuery("shop")


class Reactor(Clock):
    """A clock that can resolve names."""

    nameResolver = FakeResolver()  # noqa: N815


@define(eq=False)
class FakeClient(ConsulClient):
    """A client that never answers."""

    asked: list[tuple[ServiceQuery, Deferred[Reply]]] = Factory(list)
    closed: int = 0

    @property
    def pending(self) -> list[ServiceQuery]:
        """What it is being asked."""
        return [query for query, answer in self.asked if not answer.called]

    @property
    def addresses(self) -> int:
        return 1

    def where(self, address: int) -> str:
        return "http://consul"

    def ask(
        self, query: ServiceQuery, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        answer: Deferred[Reply] = Deferred()
        self.asked.append((query, answer))
        return answer

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        self.closed += 1
        closed: Deferred[list[tuple[bool, None]]] = Deferred()
        closed.callback([])
        return closed


def _warnings(events: Iterable[Any]) -> list[str]:
    return [
        str(formatEvent(each))
        for each in events
        if each["log_level"] is LogLevel.warn and "watched" in each["log_format"]
    ]


class WatchesTests(SynchronousTestCase):
    """Questions that are asked and no longer asked."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.client = self.client_of("here")
        self.registry = Registry(lambda: 0.0)
        self.watches = Watches(self.reactor, self.client, self.registry, lambda: 0.0)

    def client_of(self, what: str) -> FakeClient:
        """A client that is made of this."""
        return FakeClient(self.reactor, (), fingerprint=what)

    def test_ask(self) -> None:
        """Each question is asked once, from the start on, or from when it is new."""
        self.watches.ask([WEB, MAIL, WEB])
        self.assertEqual(self.client.asked, [])
        self.watches.startService()
        self.watches.ask([MAIL, SHOP])
        self.assertEqual(self.client.pending, [WEB, MAIL, SHOP])
        self.successResultOf(self.watches.stopService())
        self.assertEqual((self.client.pending, self.client.closed), ([], 1))

    def test_ask_only(self) -> None:
        """A query that no mapping uses is asked no longer."""
        self.watches.ask([WEB, MAIL])
        self.watches.startService()
        self.assertEqual(finish(self.watches.asking_only([SHOP, MAIL])), [WEB])
        self.assertEqual(self.client.pending, [MAIL, SHOP])
        self.assertEqual(finish(self.watches.asking_only([SHOP, MAIL])), [])
        self.assertEqual(len(self.client.asked), 3)
        self.watches.ask([WEB])
        self.assertEqual(self.client.pending, [MAIL, SHOP, WEB])
        self.successResultOf(self.watches.stopService())

    def test_more_than_consul_takes(self) -> None:
        """More watches than an agent has connections for are warned of, once."""
        many = [ServiceQuery(f"web-{each}") for each in range(MAX_CONNECTIONS + 1)]
        with capturedLogs() as events:
            self.watches.ask(many[1:])
            self.watches.startService()
            self.assertEqual(_warnings(events), [])
            for _ in range(2):
                finish(self.watches.asking_only(many))
            [warning] = _warnings(events)
            finish(self.watches.asking_only(many[1:]))
            finish(self.watches.asking_only(many))
            self.assertEqual(_warnings(events), [warning, warning])
        self.assertTrue(warning.startswith("201 services are watched, "))
        self.assertIn("limits.http_max_conns_per_client", warning)
        self.successResultOf(self.watches.stopService())

    def test_fixed(self) -> None:
        """A fixed address needs no watch, and lasts as long as its mapping."""
        fixed = ServiceQuery("127.0.0.1:80", fixed=True)
        self.watches.startService()
        for _ in range(2):
            self.watches.ask([WEB, fixed])
        self.assertEqual(self.client.pending, [WEB])
        self.assertTrue(self.registry.answered(fixed))
        self.assertEqual(finish(self.watches.asking_only([WEB])), [fixed])
        self.assertEqual(len(self.watches.services), 1)
        self.successResultOf(self.watches.stopService())

    def test_other_client(self) -> None:
        """Another Consul is asked everything; the same one is left alone."""
        self.watches.ask([WEB, MAIL])
        self.watches.startService()
        same, other = self.client_of("here"), self.client_of("there")
        self.assertFalse(self.watches.use_client(same))
        self.assertEqual((self.client.pending, same.asked), ([WEB, MAIL], []))
        self.assertTrue(self.watches.use_client(other))
        self.assertEqual((self.client.pending, other.pending), ([], [WEB, MAIL]))
        self.watches.ask([SHOP])
        self.assertEqual(other.pending, [WEB, MAIL, SHOP])
        self.assertEqual((self.client.closed, other.closed), (1, 0))
        self.successResultOf(self.watches.stopService())
        self.assertEqual((other.pending, other.closed), ([], 1))

    def test_snapshots(self) -> None:
        """Answers are kept in a directory, in another one, or nowhere."""
        self.watches.ask([WEB])
        [watch] = self.watches._watches.values()
        home = TemporaryDirectory()
        self.addCleanup(home.cleanup)
        kept = f"{home.name}/one", f"{home.name}/other"
        self.watches.use_state_dir(kept[0])
        self.watches.ask([MAIL])
        for folder in kept:
            self.watches.use_state_dir(folder)
            snapshot = watch._snapshot
            assert snapshot is not None
            self.assertEqual(snapshot.path.parent, Path(folder))
            self.watches.use_state_dir(folder)
            self.assertIs(watch._snapshot, snapshot)
        self.watches.use_state_dir("")
        self.assertIsNone(watch._snapshot)

    def test_states(self) -> None:
        """The state of each watch is shown, and that of fixed addresses."""
        heard: list[QueryEvent] = []
        self.watches = Watches(
            self.reactor,
            self.client,
            self.registry,
            lambda: 0.0,
            "",
            heard.append,
            wall=WallClock(self.reactor.seconds, lambda: 1e9 + self.reactor.seconds()),
        )
        address = ServiceQuery("127.0.0.1:80", fixed=True)
        self.watches.ask([WEB, ServiceQuery("mail", "dc2"), address])
        self.watches.startService()
        self.reactor.advance(5.0)
        self.client.asked[0][1].callback(Reply(b"[]", "7", 0.0, False))
        self.client.asked[1][1].errback(OSError("no route"))
        self.reactor.advance(0)
        web, mail, fixed = self.watches.states()
        self.assertEqual(
            (web.query, web.service, web.state), ("web",) * 2 + ("watching",)
        )
        self.assertEqual((web.age, web.index, web.answers, web.instances), (0, 7, 1, 0))
        self.assertEqual((mail.query, mail.datacenter), ("mail,dc=dc2", "dc2"))
        self.assertEqual((mail.state, mail.age), ("backing off", None))
        self.assertEqual((mail.errors, mail.failing_since), (1, 1e9 + 5.0))
        self.assertIn("no route", mail.last_error)
        self.assertEqual((fixed.state, fixed.instances), ("fixed", 1))
        [event] = heard
        self.assertEqual(event.query, ServiceQuery("mail", "dc2"))
        self.assertEqual((event.kind, event.reason), (EventKind.FAILING, "no route"))
        self.successResultOf(self.watches.stopService())
