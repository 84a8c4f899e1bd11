"""Dials that wait for their turn, with a clock that the test sets."""

from collections.abc import Callable

from attrs import Factory, define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.balance.upstream import Upstream
from lbconsul.proxy.wait_queue import LOOK_EVERY, WaitQueue
from tests.support.instances import upstreams


@define(eq=False)
class Places:
    """Upstreams with so many places free, and the dials that got one."""

    free: dict[Upstream, int]
    got: list[str] = Factory(list)


@define(eq=False)
class Client:
    """Takes a place when there is one, and then does something."""

    name: str
    queue: WaitQueue
    places: Places
    tried: list[Upstream] = Factory(list)
    then: Callable[["Client"], None] = lambda client: None

    @property
    def waits_for(self) -> frozenset[Upstream]:
        """Any upstream that it has not tried."""
        return frozenset(self.tried)

    def try_dial(self) -> bool:
        for upstream, count in self.places.free.items():
            if count and upstream not in self.tried:
                self.places.free[upstream] -= 1
                self.queue.leave(self)
                self.places.got.append(self.name)
                self.then(self)
                return True
        return False


class LineTests(SynchronousTestCase):
    """A line of four, before two upstreams."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = WaitQueue(self.clock, 4)
        self.one, self.other = upstreams(1, 1)
        self.places = Places({self.one: 0, self.other: 0})

    def client(self, name: str, *tried: Upstream) -> Client:
        """A dial that is not in the queue yet."""
        return Client(name, self.queue, self.places, [*tried])

    def join(self, name: str, *tried: Upstream) -> Client:
        """A dial in the queue."""
        client = self.client(name, *tried)
        self.assertTrue(self.queue.join(client))
        return client

    def assert_over(self) -> None:
        """No dial waits, and no timer runs."""
        self.assertFalse(self.queue)
        self.assertEqual(len(self.queue), 0)
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """An empty queue costs nothing."""
        self.queue.dispatch()
        self.queue.leave(self.client("a"))
        self.queue.stop()
        self.assert_over()

    def test_first_come_first_served(self) -> None:
        """As many as there are places for go on, in the order in which they came."""
        for name in "abc":
            self.join(name)
        self.queue.dispatch()
        self.assertEqual(self.places.got, [])
        self.places.free[self.one] = 2
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["a", "b"])
        self.places.free[self.other] = 2
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["a", "b", "c"])
        self.assert_over()

    def test_looks_regularly(self) -> None:
        """A place that becomes free without a notice is found soon."""
        self.join("a")
        self.join("b")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([LOOK_EVERY / 2] * 9)
        self.places.free[self.one] = 1
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.places.got, ["a"])
        self.places.free[self.one] = 1
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.places.got, ["a", "b"])
        self.assert_over()

    def test_no_room(self) -> None:
        """No more may wait than the line is long, whatever they wait for."""
        held = [self.join("a"), self.join("b"), self.join("c", self.one)]
        held.append(self.join("d", self.other))
        self.assertFalse(self.queue.join(self.client("e")))
        self.assertFalse(self.queue.join(self.client("f", self.one)))
        self.assertEqual(len(self.queue), 4)
        self.queue.leave(held[2])
        self.join("g")
        self.queue.stop()
        self.assert_over()

    def test_no_line(self) -> None:
        """In a queue of length 0 no dial waits, and no timer runs."""
        queue = WaitQueue(self.clock, 0)
        self.assertFalse(queue.join(self.client("a")))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaving(self) -> None:
        """A dial that leaves gets no turn, and holds up no other."""
        held = [self.join(name) for name in "abc"]
        for each in (held[1], held[1], held[0]):
            self.queue.leave(each)
        self.places.free[self.one] = 3
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["c"])
        self.assert_over()

    def test_no_other_for_the_first(self) -> None:
        """
        A first dial that excludes the upstream with places does not hold up the others.
        """
        self.join("a", self.one)
        self.join("b")
        self.join("c", self.other)
        self.places.free[self.one] = 2
        self.queue.dispatch()
        self.assertEqual(sorted(self.places.got), ["b", "c"])
        self.places.free[self.other] = 1
        self.queue.dispatch()
        self.assertEqual(self.places.got[2:], ["a"])
        self.assert_over()

    def test_a_refused_dial_stays_ahead(self) -> None:
        """A dial whose upstream refused it in its turn is still ahead of others."""
        first = self.join("a")
        self.join("b")

        def refused(client: Client) -> None:
            client.then = lambda client: None
            client.tried.append(self.one)
            self.assertTrue(self.queue.join(client))

        first.then = refused
        self.places.free[self.one] = 1
        self.queue.dispatch()
        self.assertEqual(len(self.queue), 2)
        self.places.free[self.other] = 1
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["a", "a"])
        self.queue.stop()

    def test_again_in_a_full_line(self) -> None:
        """A dial that was refused in its turn keeps its place in a full queue."""
        first = self.join("a")
        for name in "bcd":
            self.join(name)

        def refused(client: Client) -> None:
            client.tried.append(self.one)
            self.assertTrue(self.queue.join(client))

        first.then = refused
        self.places.free[self.one] = 1
        self.queue.dispatch()
        self.assertEqual(len(self.queue), 4)
        self.queue.stop()
        self.assert_over()

    def test_going_on_lets_others_go_on(self) -> None:
        """Many dials that each end at once, and notify the queue, do not nest."""
        queue = WaitQueue(self.clock, 5000)
        self.places.free[self.one] = 1

        def end(client: Client) -> None:
            self.places.free[self.one] += 1
            queue.dispatch()

        for number in range(5000):
            client = Client(str(number), queue, self.places, then=end)
            self.assertTrue(queue.join(client))
        queue.dispatch()
        self.assertEqual(self.places.got, [str(each) for each in range(5000)])
        self.assert_over()

    def test_one_ends_another(self) -> None:
        """A dial that ends while others go on is skipped."""
        first, second = self.join("a"), self.join("b")
        self.join("c")
        first.then = lambda _: self.queue.leave(second)
        self.places.free[self.one] = 3
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["a", "c"])
        self.assert_over()

    def test_a_bug_in_one_dial(self) -> None:
        """
        A bug that one meets, before its place or after, is in the log; the others
        go on, and it does not come again.
        """
        first, second = self.join("a"), self.join("b")
        self.join("c")

        def fail(client: Client) -> None:
            raise RuntimeError(client.name)

        self.patch(Client, "try_dial", _failing(first, Client.try_dial))
        second.then = fail
        self.places.free[self.one] = 3
        self.queue.dispatch()
        self.assertEqual(self.places.got, ["b", "c"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assert_over()

    def test_bugs_at_a_look(self) -> None:
        """After a bug the timer goes on."""
        self.patch(Client, "try_dial", _failing(self.join("a"), Client.try_dial))
        self.join("b")
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.places.free[self.one] = 1
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.places.got, ["b"])
        self.assert_over()

    def test_a_stopped_queue_forgets_all(self) -> None:
        """A stopped queue forgets all; it serves dials that join later."""
        held = [self.join("a"), self.join("b", self.one)]
        self.queue.stop()
        self.assert_over()
        for each in held:
            self.queue.leave(each)
        self.places.free[self.one] = 1
        self.queue.dispatch()
        self.assertEqual(self.places.got, [])
        self.join("c")
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.places.got, ["c"])
        self.assert_over()

    def test_stop_meanwhile(self) -> None:
        """A dial may stop the queue, even from a timer."""
        for at_a_look in (False, True):
            self.join("a").then = lambda _: self.queue.stop()
            self.join("b")
            self.places.free[self.one] = 2
            if at_a_look:
                self.clock.advance(LOOK_EVERY)
            else:
                self.queue.dispatch()
            self.assert_over()
        self.assertEqual(self.places.got, ["a", "a"])


def _failing(
    broken: Client, try_dial: Callable[[Client], bool]
) -> Callable[[Client], bool]:
    """The same, but for one client."""

    def replaced(client: Client) -> bool:
        if client is broken:
            raise RuntimeError("a bug")
        return try_dial(client)

    return replaced
