"""Listeners of several processes with one accept queue, turned by hand."""

from unittest.mock import patch

from twisted.internet.error import ConnectionLost
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from lbconsul.config.model import Limits, Mapping
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.proxy.accept_balancer import GIVE_WAY, OUR_TURN
from lbconsul.proxy.listener import STARVED_PAUSE
from lbconsul.proxy.shared_listener import LeftClients, SharedListener
from tests.proxy.test_listener import LOOPBACK, ListenerTestCase, Taker


class GivesWayTests(ListenerTestCase):
    """Where several accept from one queue, and one has more than the others."""

    def setUp(self) -> None:
        super().setUp()
        self.ahead = True
        self.left_clients = LeftClients()
        self.taker = Taker(Mapping("web", LOOPBACK, limits=Limits(connections=6)))
        source = OwnedSocket(self.taker.mapping)
        self.listener_ = SharedListener(
            self.reactor,
            self.reactor,
            self.taker,
            source,
            2,
            is_overloaded=lambda: self.ahead,
            left_clients=self.left_clients,
        )
        self.listener_.startService()
        self.addCleanup(self.close_taken, self.taker)
        self.addCleanup(self.listener_.stopService)

    def assert_waits(self, seconds: float, taken: int) -> None:
        """The listener yields for so long, and then takes as many clients as this."""
        before = len(self.taker.taken)
        self.reactor.advance(seconds * 0.9)
        self.reactor.settle()
        self.assertEqual(
            (len(self.taker.taken), self.reactor.reading()), (before, set())
        )
        self.reactor.advance(seconds * 0.1 + 1e-9)
        self.reactor.turn()
        self.assertEqual(len(self.taker.taken), taken)

    def give_way(self, clients: int) -> None:
        """The balancer says that other processes should go first."""
        self.connect(self.listener_, clients)
        self.reactor.turn()
        self.assertEqual(self.reactor.reading(), set())

    def test_one_by_one(self) -> None:
        """
        The listener lets other processes go first, and then takes the remaining
        clients.
        """
        self.give_way(5)
        self.assert_waits(GIVE_WAY, 2)
        self.reactor.turn()
        self.assert_waits(GIVE_WAY, 4)
        self.ahead = False
        self.reactor.settle()
        self.assertEqual(len(self.taker.taken), 5)
        self.assertEqual(self.reactor.reading(), {self.listener_.fileno()})

    def test_turn_that_was_not_needed(self) -> None:
        """If the others took them all, it gives way to them with the next one too."""
        self.give_way(1)
        accepted, _ = self.listener_._source.open().accept()
        accepted.close()
        self.reactor.advance(GIVE_WAY)
        self.reactor.settle()
        self.reactor.advance(OUR_TURN)
        self.give_way(1)
        self.assert_waits(GIVE_WAY, 1)

    def test_a_late_turn_is_kept(self) -> None:
        """
        Coming round to the queue a little late does not cost the listener its turn.
        """
        self.give_way(1)
        self.reactor.advance(GIVE_WAY)
        self.reactor.advance(OUR_TURN / 2)
        self.reactor.turn()
        self.assertEqual(len(self.taker.taken), 1)

    def test_end_of_a_connection(self) -> None:
        """
        A connection that ends meanwhile does not cut the other processes' turn short.
        """
        self.give_way(1)
        self.listener_.connection_ended()
        self.assertEqual(self.reactor.reading(), set())
        self.assert_waits(GIVE_WAY, 1)

    def test_starved(self) -> None:
        """Nor does it help a process that lacks descriptors."""
        self.give_way(1)
        with capturedLogs():
            self.listener_.starved()
        self.reactor.advance(GIVE_WAY)
        self.ahead = False
        self.assert_waits(STARVED_PAUSE - GIVE_WAY, 1)

    def test_starved_and_relieved(self) -> None:
        """A connection that ends relieves the need, but the others come first."""
        self.give_way(1)
        with capturedLogs():
            self.listener_.starved()
        self.listener_.connection_ended()
        self.assert_waits(GIVE_WAY, 1)

    def test_a_full_listener_accepts_nothing(self) -> None:
        """After yielding, the listener accepts nothing if it is full."""
        self.give_way(1)
        self.taker.open = 6
        self.reactor.advance(GIVE_WAY)
        self.assertEqual(self.reactor.reading(), set())
        self.taker.open = 5
        self.listener_.connection_ended()
        self.reactor.turn()
        self.assertEqual(len(self.taker.taken), 1)

    def test_a_stop_meanwhile_leaves_no_timer(self) -> None:
        """A stop meanwhile leaves no timer behind."""
        self.give_way(1)
        self.listener_.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class WakesOneTests(ListenerTestCase):
    """Where the kernel can wake one of several idle processes."""

    def setUp(self) -> None:
        super().setUp()
        self.ahead = False
        self.left_clients = LeftClients()
        #: Whether the reactor can do it, and how often it was asked to.
        self.can = True
        self.asked = 0
        wake_one = "lbconsul.proxy.shared_listener.wake_one"
        self.held.enter_context(patch(wake_one, self.wake_one))
        self.taker = Taker(Mapping("web", LOOPBACK))
        self.addCleanup(self.close_taken, self.taker)
        self.listener_ = SharedListener(
            self.reactor,
            self.reactor,
            self.taker,
            OwnedSocket(self.taker.mapping),
            is_overloaded=lambda: self.ahead,
            left_clients=self.left_clients,
        )
        self.listener_.startService()
        self.addCleanup(self.listener_.stopService)

    def wake_one(self, reactor: object, descriptor: int) -> bool:
        self.asserted = (reactor, descriptor)
        self.asked += 1
        return self.can

    def accept(self) -> int:
        """Let a client come; how many have been accepted after one turn."""
        self.connect(self.listener_)
        self.reactor.turn()
        return len(self.taker.taken)

    def test_only_one_is_woken(self) -> None:
        """A listener asks once that no other process wakes for its clients."""
        self.assertEqual([self.accept() for _ in range(3)], [1, 2, 3])
        self.assertEqual(self.asked, 1)
        self.assertEqual(self.asserted, (self.reactor, self.listener_.fileno()))

    def test_a_client_that_only_this_process_was_woken_for(self) -> None:
        """An overloaded process takes a client that no other process knows of."""
        self.ahead = True
        self.assertEqual(self.accept(), 1)

    def test_overloaded(self) -> None:
        """While it is overloaded the others are woken as well, and go first."""
        self.ahead = True
        self.accept()
        self.assertEqual(self.accept(), 1)
        self.assertEqual((self.reactor.reading(), self.asked), (set(), 1))
        self.reactor.advance(GIVE_WAY)
        self.reactor.turn()
        self.assertEqual((len(self.taker.taken), self.asked), (2, 1))

    def test_no_longer_overloaded(self) -> None:
        """Once it has no more than the others, one process is woken again."""
        self.ahead = True
        self.accept()
        self.ahead = False
        self.assertEqual(self.accept(), 2)
        self.assertEqual(self.asked, 2)

    def tick(self) -> int:
        """Look for clients that were left; how many have been accepted after that."""
        for _ in self.left_clients.tick():
            pass
        return len(self.taker.taken)

    def test_client_of_a_process_that_hangs(self) -> None:
        """A client that the process that was woken does not accept waits for a tick."""
        self.assertEqual(self.tick(), 0)
        self.connect(self.listener_)
        self.assertEqual(self.tick(), 1)

    def test_tick_takes_no_turn(self) -> None:
        """A tick accepts nothing for a process that leaves clients to the others."""
        self.ahead = True
        self.accept()
        self.assertEqual(self.accept(), 1)
        self.assertEqual(self.tick(), 1)

    def test_stop_during_a_tick(self) -> None:
        """A listener that stops while those of others accept is left out."""
        self.connect(self.listener_)
        steps = iter(self.left_clients.tick())
        self.listener_.stopService()
        self.assertEqual(len(list(steps)), 1)
        self.assertEqual(self.taker.taken, [])

    def test_lost(self) -> None:
        """A listening socket that the reactor drops is not looked at any more."""
        self.listener_.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.flushLoggedErrors(ConnectionLost)), 1)
        self.reactor.removeReader(self.listener_)
        self.connect(self.listener_)
        self.assertEqual(self.tick(), 0)

    def test_another_reactor(self) -> None:
        """A reactor that wakes every process is asked once for more."""
        self.listener_.stopService()
        self.can = False
        self.listener_.startService()
        self.assertEqual([self.accept() for _ in range(3)], [1, 2, 3])
        self.assertEqual(self.asked, 2)
