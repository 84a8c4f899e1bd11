"""The watch: what it asks and when, what it believes, what it says, how it ends."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived

from lbconsul.balance.events import Change, EventKind, QueryEvent
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery, ShrinkGuardConfig
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.consul.blocking_query import (
    BLIND_PAUSE,
    FIRST_BACKOFF,
    LAST_BACKOFF,
    LAST_UNREACHED_BACKOFF,
    NEXT_BACKOFF,
)
from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.instance_addresses import MAX_AGE
from lbconsul.consul.query_loop import BURST, RATE
from lbconsul.consul.snapshot import Snapshot, SnapshotStore
from lbconsul.consul.watch import MAX_LAST_CONTACT, SLICE, Watch
from lbconsul.errors import Forbidden, UnusableAnswer
from lbconsul.process.clock import WallClock
from tests.support.fake_resolver import FakeResolver
from tests.support.script_server import entry

QUESTION = ServiceQuery("web", datacenter="dc2")


@frozen
class Asked:
    """One question, and the Deferred of its answer."""

    query: ServiceQuery
    index: int
    address: int
    stale: bool
    answer: Deferred[Reply]


@define(eq=False)
class FakeClient(ConsulClient):
    """A client whose every answer the test gives."""

    queries: list[Asked] = Factory(list)
    #: How a Deferred that is cancelled ends; by default as any other.
    cancelled: Callable[[Deferred[Reply]], None] | None = None

    @property
    def addresses(self) -> int:
        return 3

    def where(self, address: int) -> str:
        return f"http://consul-{address}"

    def ask(
        self, query: ServiceQuery, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        answer: Deferred[Reply] = Deferred(self.cancelled)
        self.queries.append(Asked(query, index, address, stale, answer))
        return answer


def body(*numbers: int) -> bytes:
    """A list of instances with these numbers."""
    return json.dumps([entry(number) for number in numbers]).encode()


class WatchCase(SynchronousTestCase):
    """A watch whose time, chance, client and resolver the test has in hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock, ())
        self.resolver = FakeResolver()
        self.registry = Registry(lambda: 0.0)
        self.pool = self.registry.pool(PoolSpec(QUESTION))
        self.chance = 1.0
        self.watch = self.watch_with(self.registry)
        self.said = self.enterContext(capturedLogs())
        self.told = 0
        self.addCleanup(self.end)

    def watch_with(self, registry: Registry) -> Watch:
        """A watch that tells `registry`."""
        return Watch(
            self.clock,
            self.resolver,
            self.client,
            registry,
            lambda: self.chance,
            QUESTION,
        )

    def snapshot(self, directory: Path) -> Snapshot:
        """The snapshot there; the clock on the wall is the watch's own."""
        wall = WallClock(self.clock.seconds, self.clock.seconds)
        store = SnapshotStore(self.clock, directory, wall)
        return Snapshot(self.clock, store, QUESTION)

    def end(self) -> None:
        """Whatever happened, a stop ends it, and nothing is left behind."""
        stopped = self.watch.stopService()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self) -> None:
        """Start the watch."""
        self.watch.startService()

    @property
    def asked(self) -> Asked:
        """The question that is under way."""
        asked = self.client.queries[-1]
        self.assertFalse(asked.answer.called, "no question is under way")
        return asked

    @property
    def queries(self) -> int:
        """How many questions there were."""
        return len(self.client.queries)

    def answer(
        self,
        *numbers: int,
        index: str | None = "7",
        last_contact: float = 0.0,
        filtered: bool = False,
    ) -> None:
        """Consul answers with these instances."""
        reply = Reply(body(*numbers), index, last_contact, filtered)
        self.asked.answer.callback(reply)

    def fail_with(self, error: Exception) -> None:
        """There is no answer."""
        self.asked.answer.errback(error)

    def ids(self) -> list[str]:
        """The service ids of the pool."""
        return sorted(
            each.instance.identity.service_id for each in self.pool.upstreams()
        )

    def lines(self) -> list[str]:
        """What was logged since the last time we looked, as text."""
        new, self.told = self.said[self.told :], len(self.said)
        return [formatEvent(event) for event in new]

    def pause(self) -> float:
        """Wait for the next question; how many seconds that took."""
        before, begin = self.queries, self.clock.seconds()
        while self.queries == before:
            self.assertLess(self.clock.seconds() - begin, 100.0, "it asks no more")
            self.clock.advance(1 / 64)  # Such steps add up without a rest.
        return self.clock.seconds() - begin


class QuestionTests(WatchCase):
    """What a watch asks, and when."""

    def test_the_first_query_has_no_index(self) -> None:
        """
        The first question is answered at once, with whatever there is.
        """
        self.start()
        self.assertEqual(self.asked.query, QUESTION)
        self.assertEqual((self.asked.index, self.asked.stale), (0, True))

    def test_the_next_query_waits_for_news(self) -> None:
        """
        After an answer the next question follows at once, and blocks past the
        index of that answer.
        """
        self.start()
        self.answer(1, index="42")
        self.assertEqual((self.queries, self.asked.index), (2, 42))

    def test_an_index_that_goes_backwards(self) -> None:
        """
        A Consul that lost its state counts from the start; the watch starts over, too,
        once a consistent answer says so.
        """
        self.start()
        self.answer(1, index="42")
        self.answer(2, index="41")
        self.assertEqual(self.ids(), ["web-1"])
        self.assertEqual((self.asked.index, self.asked.stale), (0, False))
        self.answer(3, index="41")
        self.assertEqual(self.ids(), ["web-3"])
        self.assertEqual((self.asked.index, self.asked.stale), (0, True))
        self.answer(3, index="41")
        self.assertEqual((self.asked.index, self.asked.stale), (41, True))

    def test_a_server_that_has_just_started(self) -> None:
        """
        It answers before it has replayed all of its log: after an outage, too, such an
        answer takes no upstream away, and what fails then leaves all as it was.
        """
        self.start()
        self.answer(1, index="42")
        self.fail_with(ConnectionRefusedError())
        self.pause()
        self.answer(index="7")
        self.assertFalse(self.asked.stale)
        self.fail_with(UnusableAnswer("500: No cluster leader"))
        self.assertEqual(self.ids(), ["web-1"])
        self.pause()
        self.assertTrue(self.asked.stale)
        self.answer(1, index="42")
        self.assertEqual((self.asked.index, self.asked.stale), (42, True))

    def test_an_index_one_cannot_wait_on(self) -> None:
        """
        An answer without a usable index is applied, and the query repeated once a
        second.
        """
        self.start()
        useless = (None, "", "0", "-1", "soon", "1.5", "9" * 5000)
        for number, index in enumerate(useless):
            self.answer(number, index=index)
            self.assertEqual(self.ids(), [f"web-{number}"])
            self.assertEqual(self.pause(), BLIND_PAUSE, index)
            self.assertEqual(self.asked.index, 0)

    def test_a_failure_drops_the_index(self) -> None:
        """
        After a failure the question is asked without an index: the one from
        before may never come up again.
        """
        self.start()
        self.answer(1, index="42")
        self.fail_with(UnusableAnswer("500: oh"))
        self.pause()
        self.assertEqual(self.asked.index, 0)

    def test_a_service_that_churns(self) -> None:
        """
        A service that changes all the time is asked for five times a second,
        after a small burst; once it is quiet, a change is seen at once again.
        """
        self.start()
        for _ in range(1000):
            if not self.client.queries[-1].answer.called:
                self.answer(1, index=str(self.queries))
            else:
                self.clock.advance(0.01)
        seconds = self.clock.seconds()
        self.assertGreater(seconds, 5.0)
        self.assertLessEqual(self.queries, RATE * seconds + BURST + 1)
        self.assertGreaterEqual(self.queries, RATE * (seconds - 1))
        self.clock.advance(10.0)
        before = self.queries
        self.answer(1, index="9999")
        self.assertEqual(self.queries, before + 1)

    def test_patience_grows_with_failures(self) -> None:
        """
        Tries become rarer with each failure, half a second at most after the
        first, four seconds in a short outage, half a minute at most after many.
        """
        self.start()
        pauses = []
        for _ in range(23):
            self.fail_with(UnusableAnswer("500: oh"))
            pauses.append(self.pause())
        self.assertEqual(pauses[:5], [0.5, 1.0, 2.0, 4.0, 4.0])
        self.assertEqual(pauses[-4:], [4.0, 8.0, 16.0, 30.0])
        self.assertEqual((pauses[0], pauses[-1]), (FIRST_BACKOFF, LAST_BACKOFF))

    def test_gateways_do_not_come_back_in_step(self) -> None:
        """
        Every pause is left to chance, from nothing to its bound.
        """
        self.start()
        self.chance = 0.25
        pauses = []
        for _ in range(7):
            self.fail_with(UnusableAnswer("500: oh"))
            pauses.append(self.pause())
        self.assertEqual(pauses[2:], [0.5, 1.0, 1.0, 1.0, 1.0])

    def test_the_least_chance_is_no_flood(self) -> None:
        """
        Even with the shortest random pauses, a failing Consul is not asked more often
        than one that changes.
        """
        self.start()
        self.chance = 0.0
        while self.clock.seconds() < 10.0:
            if not self.client.queries[-1].answer.called:
                self.fail_with(UnusableAnswer("500: oh"))
            else:
                self.clock.advance(0.05)
        self.assertLessEqual(self.queries, RATE * 10.0 + BURST + 1)

    def test_a_consul_that_is_not_there(self) -> None:
        """
        A Consul that cannot even be connected to is tried every two seconds
        at least: that is no burden to it, and its return is seen soon.
        """
        self.start()
        for error in [ConnectionRefusedError()] * 5 + [DNSLookupError()] * 5:
            self.fail_with(error)
            last = self.pause()
        self.assertEqual(last, LAST_UNREACHED_BACKOFF)
        self.fail_with(UnusableAnswer("500: still starting"))
        self.assertEqual(self.pause(), NEXT_BACKOFF)

    def test_a_good_answer_ends_the_patience(self) -> None:
        """
        The first good answer is followed by the next question at once, and
        the next failure is a first one again.
        """
        self.start()
        for _ in range(6):
            self.fail_with(UnusableAnswer("500: oh"))
            self.pause()
        self.answer(1)
        self.assertEqual(self.asked.index, 7)
        self.fail_with(UnusableAnswer("500: oh"))
        self.assertEqual(self.pause(), FIRST_BACKOFF)

    def test_a_kept_connection_that_has_ended(self) -> None:
        """
        A query whose connection ends before any answer is repeated at once, at the same
        address and without an index; only a second such end in a row is a failure.
        """
        self.start()
        self.answer(1, index="42")
        self.fail_with(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertEqual(
            (self.queries, self.asked.address, self.asked.index), (3, 0, 0)
        )
        self.answer(1, index="42")
        self.fail_with(RequestTransmissionFailed([Failure(ConnectionDone())]))
        self.assertEqual([line for line in self.lines() if "no answer" in line], [])
        self.fail_with(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(self.pause(), FIRST_BACKOFF)
        self.fail_with(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertEqual(self.pause(), 2 * FIRST_BACKOFF)

    def test_an_end_that_no_repetition_helps(self) -> None:
        """An invalid head, or a certificate that is not valid, is a failure at once."""
        self.start()
        self.answer(1)
        self.fail_with(ResponseNeverReceived([Failure(UnusableAnswer("no HTTP"))]))
        self.assertEqual(self.pause(), FIRST_BACKOFF)

    def test_repeated_queries_count_towards_the_rate(self) -> None:
        """
        A Consul that ends every kept connection without an answer is asked no more than
        one that changes all the time.
        """
        self.start()
        while self.clock.seconds() < 10.0:
            if self.client.queries[-1].answer.called:
                self.clock.advance(0.05)
            elif self.queries % 2:
                self.answer(1, index=str(self.queries))
            else:
                self.fail_with(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertLessEqual(self.queries, RATE * 10.0 + BURST + 1)
        self.assertEqual(self.lines()[1:], [])

    def test_failures_lead_to_the_next_address(self) -> None:
        """
        Each failure leads to the next of Consul's addresses, and after the last comes
        the first; a working one is kept.
        """
        self.start()
        for address in (0, 1, 2, 0, 1):
            self.assertEqual(self.asked.address, address)
            self.fail_with(UnusableAnswer("500: oh"))
            self.pause()
        for _ in range(3):
            self.answer(1)
            self.assertEqual(self.asked.address, 2)


class BeliefTests(WatchCase):
    """What of Consul's answers becomes the pool."""

    def test_an_answer_becomes_the_pool(self) -> None:
        """Joins, leaves and changes apply at once."""
        self.start()
        self.answer(1, 2)
        self.assertEqual(self.ids(), ["web-1", "web-2"])
        self.answer(2, 3)
        self.assertEqual(self.ids(), ["web-2", "web-3"])

    def test_an_empty_answer_is_an_answer(self) -> None:
        """
        When Consul says that nothing is left, nothing is left.
        """
        self.start()
        self.answer(1)
        self.answer()
        self.assertEqual(self.ids(), [])

    def test_only_a_whole_valid_answer_counts(self) -> None:
        """
        Refused, lost, wrong or half understood: the pool stays as it is, and
        the next good answer changes it.
        """
        self.start()
        self.answer(1, 2)
        useless: Sequence[Exception | Reply] = (
            ConnectionRefusedError(),
            ResponseNeverReceived([Failure(ConnectionLost())]),
            TimeoutError("no complete answer within 79 s"),
            Forbidden("403: ACL not found"),
            UnusableAnswer("500: No cluster leader"),
            Reply(b'[{"Node":', "8"),
            Reply(b"null", "8"),
            Reply(b'[{"Service": {}}]', "8"),
            Reply(b"[]", "8", filtered=True),
        )
        for each in useless:
            if isinstance(each, Exception):
                self.fail_with(each)
            else:
                self.asked.answer.callback(each)
            self.assertEqual(self.ids(), ["web-1", "web-2"], each)
            self.pause()
        self.answer(3)
        self.assertEqual(self.ids(), ["web-3"])

    def test_what_acls_hide_partly_is_believed(self) -> None:
        """
        An answer from which ACLs hid something, but not all, is an answer.
        """
        self.start()
        self.answer(1, filtered=True)
        self.assertEqual(self.ids(), ["web-1"])

    def test_a_mistake_of_our_own_is_survived(self) -> None:
        """
        Whatever goes wrong when an answer is taken in, the watch asks again, and
        the log has the traceback.
        """

        class Broken(Registry):
            broken = True

            def replace(
                self,
                query: ServiceQuery,
                instances: Iterable[Instance],
                *,
                pending: bool = False,
            ) -> Change:
                if self.broken:
                    raise KeyError("a bug")
                return Registry.replace(self, query, instances, pending=pending)

        registry = Broken(lambda: 0.0)
        self.watch = self.watch_with(registry)
        self.start()
        self.answer(1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.pause()
        registry.broken = False
        self.answer(1)
        self.assertTrue(registry.answered(QUESTION))

    def test_a_name_is_published_when_it_resolves(self) -> None:
        """
        An instance under a host name joins when the name is looked up, and
        moves when the name does, without any new answer of Consul's.
        """
        self.start()
        entries = [entry(1), entry(2, Address="web.example")]
        self.asked.answer.callback(Reply(json.dumps(entries).encode(), "7"))
        self.assertEqual(self.ids(), ["web-1"])
        self.resolver.answer("web.example", "10.0.0.9")
        self.assertEqual(self.ids(), ["web-1", "web-2"])
        self.clock.advance(MAX_AGE)
        self.resolver.answer("web.example", "10.0.0.10")
        self.assertIn(
            "10.0.0.10", [each.instance.address for each in self.pool.upstreams()]
        )
        self.assertEqual(self.queries, 2)

    def test_it_is_answered_when_names_are_known(self) -> None:
        """
        Where all instances have host names nothing is said of the service before
        they are looked up.
        """
        self.start()
        entries = [entry(1, Address="a.example"), entry(2, Address="b.example")]
        self.asked.answer.callback(Reply(json.dumps(entries).encode(), "7"))
        self.assertFalse(self.registry.answered(QUESTION))
        self.assertEqual([formatEvent(each) for each in self.said], [])
        self.resolver.answer("a.example", "10.0.0.1")
        self.resolver.answer("b.example", "10.0.0.2")
        self.clock.advance(0.1)
        self.assertTrue(self.registry.answered(QUESTION))
        self.assertEqual(self.ids(), ["web-1", "web-2"])

    def test_names_that_cannot_be_resolved(self) -> None:
        """
        If none can be looked up, it is known that there is no instance, and said so.
        """
        self.start()
        entries = [entry(1, Address="a.example")]
        self.asked.answer.callback(Reply(json.dumps(entries).encode(), "7"))
        self.resolver.answer("a.example")
        self.assertTrue(self.registry.answered(QUESTION))
        said = [str(formatEvent(each)) for each in self.said]
        self.assertEqual(len(said), 2)
        self.assertIn("0 in all", said[-1])
        [skipped] = self.watch.skipped
        self.assertIn("cannot be resolved", skipped.reason)

    def test_some_names_are_dead(self) -> None:
        """
        An instance that can be used is used at once; what is dead is not waited for.
        """
        self.start()
        entries = [entry(1), entry(2, Address="dead.example")]
        self.asked.answer.callback(Reply(json.dumps(entries).encode(), "7"))
        self.assertEqual(self.ids(), ["web-1"])
        self.clock.pump([0.25] * 3)
        self.assertTrue(self.registry.answered(QUESTION))


class SnapshotTests(WatchCase):
    """What an earlier gateway left on disk."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.enterContext(TemporaryDirectory()))
        self.again()

    def again(self) -> None:
        """A watch of a gateway that has just been started."""
        self.registry = Registry(lambda: 0.0)
        self.pool = self.registry.pool(PoolSpec(QUESTION))
        self.watch = self.watch_with(self.registry)
        self.watch._snapshot = self.snapshot(self.directory)

    def test_start_during_an_outage(self) -> None:
        """
        A gateway that starts while Consul is away begins with the last answer
        that one before it got, says how old that is, and goes on asking.
        """
        self.start()
        self.answer(1, 2)
        self.end()
        self.clock.advance(60.0)
        self.again()
        self.lines()
        self.start()
        self.assertEqual(self.ids(), ["web-1", "web-2"])
        self.assertIn(
            "web,dc=dc2: using the snapshot of 60 s ago until Consul answers",
            self.lines(),
        )
        self.fail_with(ConnectionRefusedError())
        self.assertEqual(self.ids(), ["web-1", "web-2"])
        self.assertIn("the last answer stays in use", self.lines()[0])
        self.pause()
        self.answer(3)
        self.assertEqual(self.ids(), ["web-3"])

    def test_no_answer_is_kept_that_is_none(self) -> None:
        """An unusable answer is not stored either."""
        self.start()
        self.answer(1)
        self.answer(filtered=True)
        self.end()
        self.again()
        self.start()
        self.assertEqual(self.ids(), ["web-1"])

    def test_what_is_doubted_is_not_kept(self) -> None:
        """
        An answer that removed every instance is not stored for a later start until it
        is confirmed.
        """
        cautious = PoolSpec(QUESTION, caution=ShrinkGuardConfig(0.5))
        self.registry.pool(cautious)
        self.start()
        self.answer(1)
        self.answer()
        self.end()
        self.again()
        self.start()
        self.assertEqual(self.ids(), ["web-1"])

    def test_what_is_no_answer(self) -> None:
        """A whole snapshot that can no longer be parsed is renamed."""
        assert self.watch._snapshot is not None
        self.watch._snapshot.keep(b'{"not": "a list"}')
        self.start()
        self.assertFalse(self.registry.answered(QUESTION))
        self.assertIn("is unusable", self.lines()[0])
        self.answer(1)
        self.assertEqual(self.ids(), ["web-1"])

    def test_started_again(self) -> None:
        """A watch that was only stopped for a while knows better than the disk."""
        self.start()
        self.answer(1)
        self.end()
        assert self.watch._snapshot is not None
        self.watch._snapshot.keep(b"[]")
        self.watch._snapshot.stop()
        self.start()
        self.assertEqual(self.ids(), ["web-1"])


class OldAnswerTests(WatchCase):
    """Answers from a server that has lost the leader."""

    def test_an_old_answer_is_asked_for_anew(self) -> None:
        """
        A server that heard nothing from the leader for ten minutes is asked
        once for a consistent answer, at once; until that comes the old one counts.
        """
        self.start()
        self.answer(3, index="5")
        self.answer(1, index="7", last_contact=MAX_LAST_CONTACT + 1)
        self.assertEqual(self.ids(), ["web-1"])
        self.assertEqual((self.asked.index, self.asked.stale), (0, False))
        self.answer(2, index="9")
        self.assertEqual(self.ids(), ["web-2"])
        self.assertEqual((self.asked.index, self.asked.stale), (9, True))

    def test_a_young_answer_is_good_enough(self) -> None:
        """
        Up to ten minutes of silence are an election, and no reason to ask.
        """
        self.start()
        self.answer(1, last_contact=MAX_LAST_CONTACT)
        self.assertEqual(self.ids(), ["web-1"])
        self.assertTrue(self.asked.stale)

    def test_an_old_answer_is_better_than_none(self) -> None:
        """
        If the consistent query fails the old answer counts, and that is logged once,
        until an answer is fresh again.
        """
        self.start()
        for index in ("7", "8", "9"):
            self.answer(int(index), index=index, last_contact=3600.0)
            self.fail_with(UnusableAnswer("500: No cluster leader"))
            self.assertEqual(self.ids(), [f"web-{index}"])
            if index == "9":
                self.clock.advance(1.0)  # both questions of each round are counted
            self.assertEqual(self.asked.index, int(index))
        [old] = [line for line in self.lines() if "3600 s old" in line]
        self.assertEqual(
            old,
            "web,dc=dc2: Consul's answer is 3600 s old, and a consistent query failed:"
            " 500: No cluster leader",
        )
        self.answer(1, index="10")
        self.clock.advance(5.0)
        self.answer(2, index="11", last_contact=3600.0)
        self.fail_with(UnusableAnswer("500: No cluster leader"))
        self.assertEqual(len([x for x in self.lines() if "3600 s old" in x]), 1)

    def test_an_unusable_newer_answer(self) -> None:
        """
        The index of an unusable answer is not used: the next query repeats that of
        the old answer.
        """
        self.start()
        self.answer(1, index="7", last_contact=3600.0)
        self.asked.answer.callback(Reply(b"<html>", "99"))
        self.assertEqual((self.ids(), self.asked.index), (["web-1"], 7))
        [old] = [line for line in self.lines() if "a consistent query failed" in line]
        self.assertIn("answer is 3600 s old", old)


class LogTests(WatchCase):
    """What the operator reads."""

    def test_an_answer_is_told_by_what_it_changed(self) -> None:
        """
        A line says which instances joined, left or changed, and why; an answer without
        a change has no line, but for the first.
        """
        self.start()
        self.answer(index="1")
        self.assertEqual(self.lines(), ["web,dc=dc2: no change; 0 in all"])
        self.answer(1, index="2")
        self.assertEqual(
            self.lines(),
            ["web,dc=dc2: 1 joined (web-1@n1 127.1.0.2:8000); 1 in all"],
        )
        self.answer(1, index="3")
        self.assertEqual(self.lines(), [])
        sick = [entry(1, status="critical"), entry(2)]
        self.asked.answer.callback(Reply(json.dumps(sick).encode(), "4"))
        self.assertEqual(
            self.lines(),
            [
                "web,dc=dc2: 1 joined (web-2@n1 127.1.0.3:8000), 1 changed"
                " (web-1@n1 127.1.0.2:8000, passing -> critical, check 'up' critical);"
                " 2 in all"
            ],
        )
        self.answer(2, index="5")
        self.assertEqual(
            self.lines(),
            [
                "web,dc=dc2: 1 left (web-1@n1 127.1.0.2:8000, check 'up' critical);"
                " 1 in all"
            ],
        )

    def test_of_many_only_the_number_is_told(self) -> None:
        """
        A line of log stays a line, however many instances join at once.
        """
        self.start()
        self.answer(*range(6))
        self.assertEqual(self.lines(), ["web,dc=dc2: 6 joined; 6 in all"])

    def test_a_failure_is_told_once_and_so_is_its_end(self) -> None:
        """
        A failure is logged when it begins, with what happens meanwhile, and not at each
        try; the line at its end has the number of failures.
        """
        self.start()
        self.answer(1)
        self.lines()
        for _ in range(4):
            self.fail_with(UnusableAnswer("500: No cluster leader"))
            self.pause()
        self.assertEqual(
            self.lines(),
            [
                "web,dc=dc2: no answer from Consul at http://consul-0: 500: No cluster"
                " leader; the last answer stays in use"
            ],
        )
        self.answer(1)
        self.assertEqual(
            self.lines(), ["web,dc=dc2: Consul answers again, after 4 failures"]
        )
        self.fail_with(UnusableAnswer("500: No cluster leader"))
        self.assertEqual(len(self.lines()), 1)

    def test_a_start_without_consul_says_that_it_waits(self) -> None:
        """
        As long as there never was a good answer, nothing is claimed to be in
        use.
        """
        self.start()
        self.fail_with(ConnectionRefusedError(None, "Connection refused"))
        [line] = self.lines()
        self.assertIn("Connection refused", line)
        self.assertTrue(line.endswith("; waiting for the first answer"), line)

    def test_a_refused_token_is_said_loudly_once(self) -> None:
        """
        A 403 is logged once a streak, and again beside another failure, for the
        operator must act.
        """
        self.start()
        self.fail_with(UnusableAnswer("500: oh"))
        for _ in range(3):
            self.pause()
            self.fail_with(Forbidden("403: ACL not found"))
        self.pause()
        self.fail_with(UnusableAnswer("500: oh"))
        said = self.lines()
        self.assertEqual(len(said), 2)
        self.assertIn("403: ACL not found", said[1])

    def test_what_twisted_wraps_is_unwrapped(self) -> None:
        """
        A lost connection reads as one, not as a list of Failures.
        """
        self.start()
        for _ in range(2):
            self.fail_with(ResponseNeverReceived([Failure(ConnectionLost())]))
        [line] = self.lines()
        self.assertIn(": Connection to the other side was lost", line)
        self.assertNotIn("Failure", line)

    def test_an_error_without_words_has_a_name(self) -> None:
        """An error without a text is named by its kind."""
        self.start()
        self.fail_with(OSError())
        [line] = self.lines()
        self.assertIn(": OSError; ", line)

    def test_an_error_with_a_failure_in_it(self) -> None:
        """
        An error that carries a whole Failure in its text is one line all the same.
        """
        self.start()
        inner = Failure(ConnectionLost())
        self.fail_with(ConnectError(string=f"connecting: {inner}"))
        [line] = self.lines()
        self.assertIn("connecting:; ", line)
        self.assertNotIn("\n", line)

    def test_not_fit_any_more(self) -> None:
        """
        A registration that becomes unusable has not left: it is applied at once, and
        shown, until it is deregistered. One that never was usable is no member.
        """
        caution = ShrinkGuardConfig(part=0.5)
        self.pool = self.registry.pool(PoolSpec(QUESTION, caution=caution))
        self.start()
        self.answer(1)
        sidecar = entry(1)
        sidecar["Service"]["Kind"] = "connect-proxy"
        never = entry(2)
        never["Service"]["Port"] = 0
        for index in ("8", "9"):
            said = json.dumps([sidecar, never]).encode()
            self.asked.answer.callback(Reply(said, index, 0.0, False))
            [upstream] = self.pool.upstreams()
            state = self.pool.state(upstream)
            self.assertEqual(state.standing, Standing.DRAINING)
            self.assertEqual(state.reason, "its kind is connect-proxy")
            self.assertFalse(self.pool.has_suspects)
            self.assertEqual(len(self.watch.skipped), 2)
        self.answer(1, index="10")
        self.assertTrue(upstream.serving)
        self.assertEqual(self.watch.skipped, [])

    def test_what_is_skipped_is_told_once(self) -> None:
        """An unusable instance is logged when it appears, not at each answer."""
        self.start()
        unfit = json.dumps([entry(1), entry(2, Port=0)]).encode()
        for index in ("1", "2"):
            self.asked.answer.callback(Reply(unfit, index))
        told = [line for line in self.lines() if "skipped" in line]
        self.assertEqual(
            told, ["web,dc=dc2: skipped web-2@n1 127.1.0.3:0: its port is 0"]
        )
        self.assertEqual(self.ids(), ["web-1"])

    def test_what_must_not_be_connected_to(self) -> None:
        """
        An instance that is the gateway itself gets no connection, is shown and logged;
        once it is another address, it serves; the shrink guard ignores all that.
        """
        us = {"web-2"}
        self.watch._screen = lambda each: (
            "it is us" if each.identity.service_id in us else ""
        )
        self.watch.screen()  # before there is any answer
        self.assertFalse(self.registry.answered(QUESTION))
        self.start()
        self.answer(1, 2)
        self.assertEqual(self.serving(), ["web-1"])
        self.assertEqual(len(self.watch.skipped), 1)
        self.assertIn("skipped web-2@n1 127.1.0.3:8000: it is us", self.lines()[-2])
        us.clear()
        self.watch.screen()
        self.assertEqual(self.serving(), ["web-1", "web-2"])
        self.assertEqual(self.watch.skipped, [])
        us |= {"web-1", "web-2"}
        self.watch.screen()
        self.assertEqual(self.serving(), [])
        self.assertIsNone(self.pool.lease() or self.pool.lease_reserve())

    def serving(self) -> list[str]:
        """The service ids of those that get connections."""
        return sorted(
            each.instance.identity.service_id for each in self.pool.candidates
        )

    def test_what_is_not_resolved(self) -> None:
        """An instance under a name without an address is shown as skipped."""
        self.start()
        named = json.dumps([entry(1), entry(2, Address="gone.example")]).encode()
        self.asked.answer.callback(Reply(named, "1"))
        self.resolver.answer("gone.example")
        [skipped] = self.watch.skipped
        self.assertEqual(skipped.instance, "web-2@n1 gone.example:8000")
        self.assertEqual(skipped.reason, "its host name cannot be resolved")


class WorkingClock(Clock):
    """A clock by which each look at it takes a while."""

    takes = 0.0
    #: How often something was left for later.
    later = 0

    def callLater(self, *call: Any, **said: Any) -> IDelayedCall:
        self.later += 1
        return super().callLater(*call, **said)

    def seconds(self) -> float:
        self.rightNow += self.takes
        return super().seconds()


class LongAnswerTests(WatchCase):
    """An answer that takes long to be read."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.working = WorkingClock()
        self.watch = self.watch_with(self.registry)
        self.start()
        self.working.takes = SLICE / 4

    def test_others_have_their_turn(self) -> None:
        """
        The reactor serves connections meanwhile, and then the answer counts as a whole.
        """
        self.answer(*range(1, 41))
        while not self.ids():
            self.clock.advance(0)
        self.assertEqual((len(self.ids()), self.queries), (40, 2))
        self.assertGreaterEqual(self.working.later, 10)

    def test_it_may_be_no_answer_at_its_end(self) -> None:
        """
        One whose last entry is none is none, and nothing is taken of it.
        """
        broken = body(*range(1, 41))[:-1] + b",7]"
        self.asked.answer.callback(Reply(broken, "7"))
        while not self.lines():
            self.clock.advance(0)
        self.assertEqual(self.ids(), [])
        self.working.takes = 0.0
        self.pause()

    def test_the_end_may_come_meanwhile(self) -> None:
        """
        A watch that is stopped reads no further.
        """
        self.answer(*range(1, 41))
        self.assertIsNone(self.successResultOf(self.watch.stopService()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ids(), [])

    def test_another_consul_may_be_asked_meanwhile(self) -> None:
        """An answer of the previous client does not count any more."""
        self.answer(*range(1, 41))
        self.watch.use_client(FakeClient(self.clock, (), queries=self.client.queries))
        self.working.takes = 0.0
        self.answer(99)
        self.assertEqual(self.ids(), ["web-99"])


class RecordTests(WatchCase):
    """What is shown of a watch."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[QueryEvent] = []
        self.watch._on_event = self.heard.append

    def test_answers(self) -> None:
        """The numbers of answers and of changes are counted."""
        self.assertEqual(self.watch.stats.state, "waiting")
        self.start()
        self.answer(1, 2)
        self.answer(1, 2, index="9")
        stats = self.watch.stats
        self.assertEqual((stats.answers, stats.changes, stats.index), (2, 1, 9))
        self.assertEqual((stats.state, self.watch.instances), ("watching", 2))
        self.assertEqual(stats.age(self.clock.seconds() + 3.0), 3.0)
        self.assertEqual(self.heard, [])

    def test_failures(self) -> None:
        """Each kind of failure in a streak is logged once, and so is the end."""
        self.start()
        self.fail_with(ConnectionRefusedError())
        begun = self.clock.seconds()
        self.assertEqual(self.watch.where, "http://consul-1")
        self.pause()
        self.fail_with(UnusableAnswer("no JSON"))
        stats = self.watch.stats
        self.assertEqual((stats.state, stats.errors), ("backing off", 2))
        self.assertEqual((stats.failing_since, stats.last_error), (begun, "no JSON"))
        self.pause()
        self.fail_with(UnusableAnswer("no JSON"))
        kinds = [each.kind for each in self.heard]
        self.assertEqual(kinds, [EventKind.FAILING, EventKind.FAILING])
        self.assertEqual(self.heard[1].reason, "no JSON")
        self.pause()
        self.answer(1)
        [end] = self.heard[2:]
        self.assertEqual(end.kind, EventKind.RECOVERED)
        self.assertEqual(str(end.query), "web,dc=dc2")
        self.assertIsNone(stats.failing_since)

    def test_snapshot(self) -> None:
        """The state tells a snapshot from an answer."""
        folder = Path(self.enterContext(TemporaryDirectory()))
        snapshot = self.snapshot(folder)
        snapshot.keep(body(1))
        self.clock.advance(60.0)
        self.watch.use_snapshot(snapshot)
        self.start()
        stats = self.watch.stats
        self.assertEqual((stats.state, stats.answers), ("snapshot", 0))
        self.answer(1)
        self.assertEqual((stats.state, stats.answers), ("watching", 1))


class StopTests(WatchCase):
    """However a watch is stopped, it ends; `WatchCase.end` sees to the rest."""

    def stop(self) -> None:
        """Stop, and see that this ends at once."""
        before = self.queries
        self.assertIsNone(self.successResultOf(self.watch.stopService()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1000.0)
        self.assertEqual(self.queries, before)
        self.assertEqual([x for x in self.lines() if "no answer" in x], [])

    def test_before_any_start(self) -> None:
        """
        A watch that never started stops as well.
        """
        self.stop()

    def test_while_a_query_is_under_way(self) -> None:
        """The query is cancelled, and that is no failure."""
        self.start()
        under_way = self.asked.answer
        self.stop()
        self.assertTrue(under_way.called)

    def test_when_cancelling_shows_as_another_error(self) -> None:
        """
        Twisted tells a cancelled request as a lost one; the watch ends all
        the same.
        """
        lost = ResponseNeverReceived([Failure(ConnectionLost())])
        self.client.cancelled = lambda answer: answer.errback(lost)
        self.start()
        self.stop()

    def test_while_a_newer_answer_is_asked_for(self) -> None:
        """
        The second question after an old answer is given up.
        """
        self.start()
        self.answer(1, last_contact=3600.0)
        self.stop()
        self.assertEqual(self.ids(), ["web-1"])

    def test_while_it_backs_off(self) -> None:
        """
        The pause after a failure is cut short.
        """
        self.start()
        self.fail_with(UnusableAnswer("500: oh"))
        self.lines()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.stop()

    def test_while_it_waits_for_its_turn(self) -> None:
        """So is the pause of a service that changes all the time."""
        self.start()
        while not self.clock.getDelayedCalls():
            self.answer(1, index=str(self.queries))
        self.stop()

    def test_while_names_are_looked_up(self) -> None:
        """
        The timer that looks names up again ends, and a name that is found
        later joins nothing.
        """
        self.start()
        named = json.dumps([entry(1, Address="web.example")]).encode()
        self.asked.answer.callback(Reply(named, "7"))
        self.stop()
        self.assertFalse(self.resolver.is_asked("web.example"))
        self.assertEqual(self.ids(), [])

    def test_while_an_answer_is_taken_in(self) -> None:
        """
        A callback may stop the watch: the answer is applied, and no further query
        follows.
        """
        stopped: list[Deferred[None]] = []
        test = self

        class Impatient(Registry):
            def replace(
                self,
                query: ServiceQuery,
                instances: Iterable[Instance],
                *,
                pending: bool = False,
            ) -> Change:
                stopped.append(test.watch.stopService())
                return Registry.replace(self, query, instances, pending=pending)

        registry = Impatient(lambda: 0.0)
        self.watch = self.watch_with(registry)
        self.start()
        self.answer(1)
        self.assertEqual(self.queries, 1)
        self.assertTrue(registry.answered(QUESTION))
        self.assertIsNone(self.successResultOf(stopped[0]))

    def test_the_pool_outlives_the_stop(self) -> None:
        """
        A stop is no answer: the pool stays as it is.
        """
        self.start()
        self.answer(1)
        self.stop()
        self.assertEqual(self.ids(), ["web-1"])

    def test_a_second_stop(self) -> None:
        """
        A second stop does no harm.
        """
        self.start()
        self.stop()
        self.stop()

    def test_a_start_after_it(self) -> None:
        """
        A watch that is started again asks again, and believes again.
        """
        self.start()
        self.answer(1)
        self.stop()
        self.start()
        self.answer(2, index="8")
        self.assertEqual(self.ids(), ["web-2"])


class OtherClientTests(WatchCase):
    """Another Consul, or other rights with the same one, while the watch runs."""

    def turn(self) -> FakeClient:
        """Turn to another client, which the test has in hand from now on."""
        self.client = FakeClient(self.clock, ())
        self.watch.use_client(self.client)
        return self.client

    def test_asked_at_once(self) -> None:
        """
        A pending query is repeated at once, from the beginning, without a line of log.
        """
        self.start()
        self.answer(1, index="42")
        pending = self.asked
        self.lines()
        self.turn()
        self.assertTrue(pending.answer.called)
        self.assertEqual((self.asked.index, self.asked.address), (0, 0))
        self.answer(1, 2, index="3")
        self.assertEqual((self.asked.index, self.ids()), (3, ["web-1", "web-2"]))
        self.assertEqual([line for line in self.lines() if "no answer" in line], [])

    def test_while_it_backs_off(self) -> None:
        """A pause after a failure ends at once, too."""
        self.start()
        self.fail_with(ConnectError())
        self.turn()
        self.assertEqual((self.queries, self.asked.address), (1, 0))
        self.turn()
        self.assertEqual(self.queries, 1)
        self.answer(1)
        self.assertNotIn("answers again", " ".join(self.lines()))

    def test_late_answer(self) -> None:
        """
        An index of the previous client, if its query could not be cancelled, does not
        count.
        """
        late = Reply(body(7), "99")
        self.client.cancelled = lambda deferred: deferred.callback(late)
        self.start()
        self.turn()
        self.assertEqual((self.queries, self.asked.index), (1, 0))

    def test_before_the_start(self) -> None:
        """
        A watch that does not run yet asks the other one when it does.
        """
        self.turn()
        self.assertEqual(self.queries, 0)
        self.start()
        self.assertEqual(self.queries, 1)

    def test_second_query(self) -> None:
        """The same holds while a consistent query is pending."""
        self.start()
        self.answer(1, last_contact=MAX_LAST_CONTACT + 1)
        self.assertFalse(self.asked.stale)
        self.lines()
        self.turn()
        self.assertEqual((self.queries, self.asked.stale), (1, True))
        self.assertEqual(self.lines(), [])

    def test_other_place_for_snapshots(self) -> None:
        """
        Answers are kept elsewhere from then on, or nowhere.
        """
        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            self.start()
            for folder in (one, other):
                snapshot = self.snapshot(Path(folder))
                self.watch.use_snapshot(snapshot)
                self.answer(1)
                self.assertTrue(snapshot.path.exists())
            self.watch.use_snapshot(None)
            before = snapshot.path.stat().st_mtime_ns
            self.answer(1, 2)
            self.clock.advance(10)
            self.assertEqual(snapshot.path.stat().st_mtime_ns, before)
