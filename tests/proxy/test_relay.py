"""Two joined sockets, turned by hand."""

import contextlib
import gc
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from unittest.mock import patch

from attrs import Factory, define, field
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.net.sockets import queued
from lbconsul.net.splice import PIPE_SIZE, Pipes
from lbconsul.net.sweeper import Sweeper
from lbconsul.proxy.relay import Relay, RelaySettings
from lbconsul.proxy.relay_side import READ_SIZE
from lbconsul.stats.termination import Termination
from tests.support.loopback import (
    receive,
    receive_all,
    reset,
    stuff,
    tcp_pair,
    was_reset,
)
from tests.support.recording_reactor import RecordingReactor
from tests.support.tls import drive

IDLE = 80.0
HALF_CLOSED = 16.0

#: More than what the kernel holds of two connections, in bytes.
ENDLESS = 1 << 27


@define(eq=False)
class User:
    """Joins streams, checks the relays, and notes what they report."""

    reactor: RecordingReactor
    sweeper: Sweeper
    pipes: Pipes = Factory(Pipes)
    settings: RelaySettings = field(init=False)
    over: list[Termination] = Factory(list)
    #: Which of them the upstream ended.
    by_upstream: list[bool] = Factory(list)
    #: When upstreams spoke first.
    spoken: list[float] = Factory(list)
    #: Bytes from clients, and from upstreams.
    moved: tuple[int, int] = 0, 0

    def __attrs_post_init__(self) -> None:
        reactor = self.reactor
        self.settings = RelaySettings(reactor, reactor, self.pipes, IDLE, HALF_CLOSED)

    def join(self, client: socket.socket, upstream: socket.socket) -> Relay:
        """Begin a relay, and check it from now on."""
        now = self.reactor.seconds()
        relay = Relay(self.settings, self, client, upstream, now)
        self.sweeper.add(relay)
        self.reactor.addReader(relay.upstream, relay.client)
        return relay

    def on_first_byte(self) -> None:
        self.spoken.append(self.reactor.seconds())

    def on_moved(self, received: int, sent: int) -> None:
        self.moved = self.moved[0] + received, self.moved[1] + sent

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        self.sweeper.stop()
        self.over.append(termination)
        self.by_upstream.append(by_upstream)


class RelayTests(SynchronousTestCase):
    """A relay that copies, between a client and an upstream that the test plays."""

    #: How many pipes it may have.
    PIPES = 0

    #: What it may hold of one direction, in bytes.
    MOST = READ_SIZE

    def setUp(self) -> None:
        self.reactor = RecordingReactor()
        sweeper = Sweeper(self.reactor, Sweeper.interval_for(IDLE, 1.0))
        self.user = User(self.reactor, sweeper, Pipes(self.PIPES))
        self.addCleanup(self.user.pipes.close)
        ours, self.client = self.pair()
        theirs, self.upstream = self.pair()
        self.descriptors = ours.fileno(), theirs.fileno()
        self.relay = self.user.join(ours, theirs)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Ours, and the peer's."""
        ours, peer = tcp_pair()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        return ours, peer

    def pass_time(self, seconds: float) -> None:
        """Let time pass as it does: second by second."""
        for _ in range(int(seconds)):
            self.reactor.advance(1.0)

    def arrive(self) -> None:
        """Wait until what was sent, an end among it, has arrived at both peers."""
        ends = (self.relay.client, self.relay.upstream)
        for _ in range(500):
            if not any(queued(end.stream) for end in ends):
                return
            time.sleep(0.01)
        self.fail("something is still under way")

    def arrived(self) -> int:
        """How much the relay has sent and its peers' kernels have acknowledged."""
        return self.relay.client.progress() + self.relay.upstream.progress()

    def read_slowly(self) -> None:
        """The client reads, a little at a time, until more has arrived."""
        before = self.arrived()
        self.client.setblocking(False)

        def step() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.client.recv(20_000)
            self.reactor.turn(0)
            return self.arrived() > before

        drive(step, "more arrives")

    def assert_over(self, ending: Termination) -> None:
        """The relay ended so, and the reactor watches nothing of it."""
        self.reactor.turn_until(lambda: bool(self.user.over))
        self.reactor.settle()
        self.reactor.advance(0)
        self.assertEqual(self.user.over, [ending])
        self.assertEqual(self.reactor.reading() | self.reactor.writing(), set())

    def assert_runs_out(self, limit: float, ending: Termination) -> None:
        """A limit ends the relay within a round of checks after bytes last moved.

        What waits for room in a window moves in the kernel's own time.
        """

        def step() -> bool:
            self.pass_time(1)
            return bool(self.user.over)

        drive(step, "the relay's end")
        since = self.reactor.seconds() - self.relay.moved_at
        self.assertGreaterEqual(since, limit)
        self.assertLess(since, limit + 2)
        self.assert_over(ending)

    def assert_alive(self) -> None:
        """The relay is not over."""
        self.reactor.settle()
        self.assertEqual(self.user.over, [])

    def test_interfaces(self) -> None:
        """Each end is what the reactor takes for a reader and a writer."""
        for end in (self.relay.client, self.relay.upstream):
            self.assertTrue(verifyObject(IReadWriteDescriptor, end))
            self.assertEqual(end.logPrefix(), "relay")

    def test_both_ways(self) -> None:
        """The bytes of each side reach the other, and are counted by side."""
        self.client.sendall(b"question")
        self.upstream.sendall(b"long answer")
        self.reactor.settle()
        self.assertEqual(self.upstream.recv(100), b"question")
        self.assertEqual(self.client.recv(100), b"long answer")
        self.assertEqual(self.relay.client.moved, 8)
        self.assertEqual(self.relay.upstream.moved, 11)

    def test_first_byte(self) -> None:
        """The upstream's first byte is reported once, with the time since accept."""
        self.relay.upstream.credit = 0  # bulk comes later
        self.client.sendall(b"question")
        self.reactor.settle()
        self.assertEqual(self.user.spoken, [])
        self.pass_time(3)
        for _ in range(2):
            self.upstream.sendall(b"answer")
            self.reactor.settle()
        self.assertEqual(self.user.spoken, [3.0])

    def test_byte_by_byte(self) -> None:
        """A conversation of single bytes passes as such: nothing waits for more."""
        for byte in b"slowly":
            self.client.sendall(bytes([byte]))
            self.reactor.settle()
            self.assertEqual(self.upstream.recv(100), bytes([byte]))

    def test_spurious_wakeup(self) -> None:
        """A reactor that calls for nothing does no harm."""
        self.relay.client.doRead()
        self.relay.client.doWrite()
        self.client.sendall(b"x")
        self.reactor.settle()
        self.assertEqual(self.upstream.recv(100), b"x")

    def test_slow_reader_stops_the_writer(self) -> None:
        """
        From a peer whose other side does not keep up nothing more is read, so
        that what is held is bounded and the peer is slowed down by TCP.
        """
        client, _ = self.descriptors
        self.flood(self.upstream)
        self.assertEqual(self.reactor.reading(), {client})
        self.assertEqual(self.reactor.writing(), {client})
        self.assertLessEqual(self.relay.client.owed(), self.MOST)
        self.assertGreater(self.relay.client.owed(), 0)

    def test_slow_reader_catches_up(self) -> None:
        """
        Once it keeps up again, everything comes, whole and in order, however
        small the pieces are that the kernel takes.
        """
        client, upstream = self.descriptors
        size = (4096).to_bytes(4, sys.byteorder)
        self.relay.client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        sent = bytearray()
        self.upstream.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while len(sent) < ENDLESS:
                chunk = os.urandom(50_000)
                count = self.upstream.send(chunk)
                sent += chunk[:count]
                self.reactor.turn(0)
        self.assertLess(len(sent), ENDLESS)
        self.assertEqual(self.hear(len(sent)), sent)
        self.reactor.settle()
        self.assertEqual(self.reactor.reading(), {client, upstream})
        self.assertEqual(self.reactor.writing(), set())
        self.pass_time(2)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)  # the idle limit's

    def test_held_up_speaker_dies(self) -> None:
        """
        A peer that resets while nothing is read from it, since the other side
        does not keep up, is noticed soon all the same.
        """
        self.flood(self.client)
        self.assertEqual(self.reactor.reading(), {self.descriptors[1]})
        reset(self.client)
        self.pass_time(2)
        self.assert_over(Termination.CLIENT_RESET)

    def test_half_closed_and_held_up(self) -> None:
        """
        A relay that flows again is still looked at if one of its sides has said
        all and may vanish.
        """
        self.client.shutdown(socket.SHUT_WR)
        self.flood(self.upstream)
        self.client.setblocking(False)
        for _ in range(100):
            with contextlib.suppress(BlockingIOError):
                while self.client.recv(1 << 20):
                    pass
            self.reactor.settle()
        self.assertEqual(self.relay.client.owed(), 0)
        reset(self.client)
        self.pass_time(2)
        self.assert_over(Termination.CLIENT_RESET)

    def test_slow_reader_may_speak(self) -> None:
        """The direction that is not held up goes on meanwhile."""
        self.flood(self.upstream)
        self.client.sendall(b"wait a moment")
        self.reactor.settle()
        self.assertEqual(self.upstream.recv(100), b"wait a moment")

    def test_room_that_is_gone_again(self) -> None:
        """A reactor that calls for a write when there is no room does no harm."""
        self.flood(self.upstream)
        before = self.relay.client.owed()
        self.relay.client.doWrite()
        # The kernel may have found a little room by then.
        self.assertLessEqual(self.relay.client.owed(), before)
        self.assert_alive()

    def test_half_close_of_the_client(self) -> None:
        """A client that has said all is still answered, at any length."""
        self.client.sendall(b"question")
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        self.assertEqual(receive_all(self.upstream), b"question")
        self.assert_alive()
        self.upstream.sendall(b"an")
        self.reactor.settle()
        self.upstream.sendall(b"swer")
        self.upstream.close()
        self.assert_over(Termination.DONE)
        self.assertEqual(receive_all(self.client), b"answer")

    def test_half_close_of_the_upstream(self) -> None:
        """An upstream that has said all still hears what the client has to say."""
        self.upstream.sendall(b"banner")
        self.upstream.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        self.assertEqual(receive_all(self.client), b"banner")
        self.client.sendall(b"upload")
        self.client.close()
        self.assert_over(Termination.DONE)
        self.assertEqual(receive_all(self.upstream), b"upload")

    def test_both_say_all_at_once(self) -> None:
        """Two ends that come together end it like two that come in turn."""
        self.client.close()
        self.upstream.close()
        self.assert_over(Termination.DONE)

    def test_end_behind_a_slow_reader(self) -> None:
        """Pending bytes are sent before the end is passed on."""
        sent = self.flood(self.upstream)
        self.upstream.shutdown(socket.SHUT_WR)
        self.assertEqual(len(self.hear(sent + 1)), sent)
        self.assert_alive()

    def test_client_resets(self) -> None:
        """A client's reset reaches the upstream as a reset, not as an end."""
        reset(self.client)
        self.assert_over(Termination.CLIENT_RESET)
        self.assertTrue(was_reset(self.upstream))

    def test_upstream_resets(self) -> None:
        """An upstream's reset reaches the client as a reset, not as an end."""
        reset(self.upstream)
        self.assert_over(Termination.UPSTREAM_RESET)
        self.assertTrue(was_reset(self.client))

    def test_upstream_is_gone_when_told(self) -> None:
        """A reset that shows only when we send is the same reset."""
        reset(self.upstream)
        self.client.sendall(b"anybody there?")
        self.relay.client.doRead()
        self.assert_over(Termination.UPSTREAM_RESET)
        self.assertTrue(was_reset(self.client))

    def test_upstream_that_answers_early(self) -> None:
        """
        The answer of an upstream that closes before it has read all arrives, and then a
        reset.
        """
        self.client.sendall(b"a long request")
        self.relay.client.doRead()
        self.arrive()
        self.upstream.sendall(b"too long")
        self.upstream.close()
        self.client.sendall(b", its rest")
        self.relay.client.doRead()
        self.assert_over(Termination.UPSTREAM_RESET)
        self.assertEqual(self.client.recv(100), b"too long")
        self.assertTrue(was_reset(self.client))
        self.assertEqual(len(self.user.spoken), 1)

    def test_upstream_is_gone_when_told_the_end(self) -> None:
        """An upstream that is gone when the end is passed on ends the relay."""
        reset(self.upstream)
        self.client.shutdown(socket.SHUT_WR)
        self.relay.client.doRead()
        self.assert_over(Termination.UPSTREAM_RESET)

    def test_slow_reader_is_gone(self) -> None:
        """A slow reader that is gone when pending bytes are sent ends the relay."""
        self.flood(self.upstream)
        reset(self.client)
        self.relay.client.doWrite()
        self.assert_over(Termination.CLIENT_RESET)
        self.assertTrue(was_reset(self.upstream))

    def test_slow_reader_resets(self) -> None:
        """
        A client that resets while it is read from and written to ends the
        relay once: the write that the reactor asks for next does nothing.
        """
        self.flood(self.upstream)
        reset(self.client)
        self.assert_over(Termination.CLIENT_RESET)
        self.assertTrue(was_reset(self.upstream))

    def test_half_closed_slow_reader_resets(self) -> None:
        """A reset is seen too while we only wait to write."""
        self.client.shutdown(socket.SHUT_WR)
        self.flood(self.upstream)
        reset(self.client)
        self.assert_over(Termination.CLIENT_RESET)

    def test_reset_though_the_process_ends(self) -> None:
        """A process that ends before the next turn leaves a reset, not an end."""
        ours = self.relay.upstream.stream
        reset(self.client)
        self.reactor.settle()
        ours.close()  # as the kernel does then
        with self.assertRaises(ConnectionResetError):
            self.upstream.recv(1)

    def test_reset_keeps_descriptors_for_the_turn(self) -> None:
        """
        After a reset no descriptor is free before the reactor's next turn: it
        may hold an event for the other side, and a new socket would get that.
        """
        reset(self.client)
        self.relay.client.doRead()
        self.assertEqual(next_descriptors(20) & {*self.descriptors}, set())
        self.assert_over(Termination.CLIENT_RESET)
        self.assertGreater(next_descriptors(20), {*self.descriptors})

    def test_idle(self) -> None:
        """A connection on which nothing moves is closed, without a reset."""
        self.pass_time(IDLE)
        self.assert_alive()
        self.pass_time(IDLE / 4)
        self.assert_over(Termination.IDLE)
        self.assertEqual(self.client.recv(1), b"")
        self.assertEqual(self.upstream.recv(1), b"")

    def test_bytes_are_told(self) -> None:
        """
        Its owner hears of what moved about once a second, in between of what did since,
        and at the end of nothing twice.
        """
        self.client.sendall(b"question")
        self.reactor.settle()
        self.pass_time(1)
        self.assertEqual(self.user.moved, (8, 0))
        self.upstream.sendall(b"the answer")
        self.reactor.settle()
        self.pass_time(3)
        self.assertEqual(self.user.moved, (8, 10))
        self.client.sendall(b"more")
        self.reactor.settle()
        self.relay.end(Termination.HARD_STOP)
        told = self.relay.reported_received, self.relay.reported_sent
        self.assertEqual(self.user.moved, told)
        self.assertEqual(told, (8, 10))

    def test_idle_asks_the_kernel_nothing(self) -> None:
        """An inspection of one on which nothing moves makes no system call."""
        self.client.sendall(b"question")
        self.reactor.settle()
        self.assertEqual(receive(self.upstream, 8), b"question")
        self.arrive()
        self.pass_time(2)
        with patch("lbconsul.proxy.relay_side.queued", side_effect=AssertionError):
            self.pass_time(IDLE - 5)
        self.assert_alive()
        self.pass_time(5)
        self.assert_over(Termination.IDLE)

    def test_activity_keeps_it(self) -> None:
        """One byte in time, either way, is enough to live on."""
        for sender, receiver in ((self.client, self.upstream),) * 3 + (
            (self.upstream, self.client),
        ) * 3:
            self.pass_time(IDLE * 0.9)
            sender.sendall(b"x")
            self.reactor.settle()
            self.assertEqual(receiver.recv(1), b"x")
            self.arrive()
        self.assert_alive()
        self.assert_runs_out(IDLE, Termination.IDLE)

    def test_long_dial_is_no_idleness(self) -> None:
        """The limit counts from the start of the relay, not from the accept."""
        self.relay.end(Termination.HARD_STOP)
        self.user.over.clear()
        self.reactor.advance(IDLE * 2)
        ours, _ = self.pair()
        theirs, _ = self.pair()
        self.user.join(ours, theirs)
        self.pass_time(IDLE * 0.9)
        self.assert_alive()
        self.pass_time(IDLE)
        self.assert_over(Termination.IDLE)

    def test_half_closed_and_silent(self) -> None:
        """Half of a connection has a shorter limit."""
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        self.arrive()
        self.pass_time(HALF_CLOSED)
        self.assert_alive()
        self.pass_time(HALF_CLOSED / 4)
        self.assert_over(Termination.HALF_CLOSED)
        self.assertEqual(self.client.recv(1), b"")

    def test_slow_reader_of_an_answer(self) -> None:
        """
        A client that has said all and reads its answer slowly, but steadily, is
        not cut off, though nothing new is read for it meanwhile.
        """
        self.client.shutdown(socket.SHUT_WR)
        self.flood(self.upstream)
        for _ in range(3):
            self.read_slowly()
            self.pass_time(HALF_CLOSED * 0.8)
        self.assert_alive()

    def test_cut_off_in_the_middle(self) -> None:
        """A stream that is cut short must not look whole: its reader sees a reset."""
        self.client.shutdown(socket.SHUT_WR)
        self.flood(self.upstream)
        self.assert_runs_out(HALF_CLOSED, Termination.HALF_CLOSED)
        with self.assertRaises(ConnectionResetError):
            while self.client.recv(1 << 20):
                pass

    def test_half_close_limit_counts_from_the_half_close(self) -> None:
        """However long nothing moved before, the answer gets all its time."""
        self.pass_time(IDLE * 0.9)
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        self.arrive()
        self.pass_time(HALF_CLOSED)
        self.assert_alive()
        self.pass_time(HALF_CLOSED / 4)
        self.assert_over(Termination.HALF_CLOSED)

    def test_half_closed_and_active(self) -> None:
        """An answer that trickles may take longer than the limit."""
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        for _ in range(10):
            self.pass_time(HALF_CLOSED * 0.8)
            self.upstream.sendall(b"x")
            self.reactor.settle()
            self.arrive()
        self.assert_alive()
        self.upstream.close()
        self.assert_over(Termination.DONE)
        self.assertEqual(receive_all(self.client), b"x" * 10)

    def test_half_closed_client_dies(self) -> None:
        """
        A client that ends its direction and then vanishes is noticed, though nothing is
        read from it any more: the upstream need not go on working.
        """
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        reset(self.client)
        self.pass_time(2)
        self.assert_over(Termination.CLIENT_RESET)
        self.assertEqual(self.upstream.recv(1), b"")
        with self.assertRaises(OSError):
            self.upstream.send(b"nobody is there")

    def test_half_closed_upstream_dies(self) -> None:
        """A half-closed upstream that dies is noticed, too."""
        self.upstream.shutdown(socket.SHUT_WR)
        self.reactor.settle()
        reset(self.upstream)
        self.pass_time(2)
        self.assert_over(Termination.UPSTREAM_RESET)

    def test_reactor_gives_up(self) -> None:
        """An error that only the reactor sees ends it like one of our own."""
        reset(self.upstream)
        with contextlib.suppress(OSError):
            self.relay.upstream.stream.send(b"the error is taken here")
        self.relay.upstream.connectionLost(None)  # type: ignore[arg-type]
        self.assert_over(Termination.UPSTREAM_RESET)

    def test_reactor_ends(self) -> None:
        """A reactor that ends tells both ends, the second of which knows already."""
        both = self.relay.client, self.relay.upstream
        for end in both:
            end.connectionLost(None)  # type: ignore[arg-type]
        self.assert_over(Termination.CLIENT_RESET)

    def test_ends_once(self) -> None:
        """To end it again does nothing, and does not change why it ended."""
        self.relay.end(Termination.HARD_STOP)
        self.relay.end(Termination.DONE)
        self.assert_over(Termination.HARD_STOP)
        self.assertEqual(self.client.recv(1), b"")

    def test_nothing_is_left(self) -> None:
        """After its end, however it came, no circle keeps it from being freed."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.relay.end(Termination.HARD_STOP)
        for end in (
            self.close_both,
            lambda: reset(self.client),
            lambda: reset(self.upstream),
            lambda: self.relay.end(Termination.HARD_STOP),
        ):
            socks = self.renew()
            self.assertTrue(all(each() for each in socks))
            self.end_and_forget(end)
            self.assertEqual([each() for each in socks], [None, None])

    def close_both(self) -> None:
        """Both have said all, and are gone."""
        self.client.close()
        self.upstream.close()

    def renew(self) -> list[Callable[[], object]]:
        """Weak references to the two sockets of a new relay."""
        self.user.over.clear()
        ours, self.client = tcp_pair()
        theirs, self.upstream = tcp_pair()
        self.relay = self.user.join(ours, theirs)
        return [weakref.ref(ours), weakref.ref(theirs)]

    def end_and_forget(self, end: Callable[[], object]) -> None:
        """Let it come to its end, and keep nothing of it."""
        end()
        self.reactor.settle()
        self.reactor.advance(0)
        self.assertEqual(len(self.user.over), 1)
        self.client.close()
        self.upstream.close()
        del self.relay

    def flood(self, sender: socket.socket) -> int:
        """Send until nothing moves any more; how much went."""
        sent = stuff(sender, ENDLESS)
        while self.reactor.turn() and sent < ENDLESS:
            sent += stuff(sender, ENDLESS)
        self.assertLess(sent, ENDLESS)
        return sent

    def hear(self, size: int) -> bytes:
        """What the client hears until it is so much, or all that there is."""
        heard = bytearray()
        self.client.setblocking(False)

        def enough() -> bool:
            with contextlib.suppress(BlockingIOError):
                chunk = self.client.recv(70_000)
                heard.extend(chunk)
                return not chunk or len(heard) >= size
            return False

        self.reactor.turn_until(enough)
        return bytes(heard)


class SplicingRelayTests(RelayTests):
    """A relay that moves everything through pipes behaves no differently."""

    PIPES = 8
    MOST = PIPE_SIZE

    def setUp(self) -> None:
        super().setUp()
        for end in (self.relay.client, self.relay.upstream):
            end.credit = 1 << 30

    def test_end_in_the_pipe(self) -> None:
        """Bytes in the pipe arrive before the end."""
        sent = self.flood(self.upstream)
        self.upstream.close()
        assert self.relay.client.pipe is not None
        self.assertEqual(len(self.hear(sent + 1)), sent)
        self.assertIsNone(self.relay.client.pipe)
        self.client.close()
        self.assert_over(Termination.DONE)

    def test_pipes_come_back(self) -> None:
        """However a relay ends, as many pipes can be had afterwards as before."""
        for end in (
            lambda: reset(self.client),
            lambda: self.relay.end(Termination.HARD_STOP),
        ):
            for end_of in (self.relay.client, self.relay.upstream):
                end_of.credit = 1 << 30
            self.flood(self.upstream)
            assert self.relay.client.pipe is not None
            self.end_and_forget(end)
            pipes = [self.user.pipes.lend() for _ in range(self.PIPES)]
            self.assertNotIn(None, pipes)
            for pipe in pipes:
                assert pipe is not None
                self.user.pipes.give_back(pipe)
            self.renew()

    def test_held_up_both_ways(self) -> None:
        """Two sides that both do not read hold a pipe each, and lose nothing."""
        there, back = self.flood(self.client), self.flood(self.upstream)
        self.assertGreater(self.relay.client.owed(), 0)
        self.assertGreater(self.relay.upstream.owed(), 0)
        self.assertEqual(len(self.hear(back)), back)
        self.client = self.upstream
        self.assertEqual(len(self.hear(there)), there)


def next_descriptors(count: int) -> set[int]:
    """The descriptors that so many new sockets get."""
    with contextlib.ExitStack() as held:
        new = [held.enter_context(socket.socket()) for _ in range(count)]
        return {each.fileno() for each in new}


class UnixRelayTests(SynchronousTestCase):
    """A relay over UNIX sockets."""

    def setUp(self) -> None:
        self.reactor = RecordingReactor()
        self.user = User(
            self.reactor, Sweeper(self.reactor, Sweeper.interval_for(IDLE))
        )

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Ours, and the peer's."""
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        self.addCleanup(peer.close)
        return ours, peer

    def test_life(self) -> None:
        """Two streams are joined, and their user hears of bytes and of the end."""
        (ours, client), (theirs, upstream) = self.pair(), self.pair()
        relay = self.user.join(ours, theirs)
        client.sendall(b"question")
        upstream.sendall(b"answer")
        self.reactor.settle()
        self.assertEqual(upstream.recv(100), b"question")
        self.assertEqual(client.recv(100), b"answer")
        self.assertEqual(len(self.user.spoken), 1)
        relay.check(self.reactor.seconds())
        self.assertEqual(self.user.moved, (8, 6))
        client.close()
        self.reactor.settle()
        self.assertEqual(self.user.over, [])
        upstream.close()
        self.reactor.settle()
        self.assertEqual(self.user.over, [Termination.DONE])
        self.assertEqual(self.user.by_upstream, [False])
        self.assertEqual((ours.fileno(), theirs.fileno()), (-1, -1))

    def test_ended_by_the_upstream(self) -> None:
        """The user hears that it was the upstream that ended first."""
        (ours, client), (theirs, upstream) = self.pair(), self.pair()
        self.user.join(ours, theirs)
        upstream.close()
        self.reactor.settle()
        client.close()
        self.reactor.settle()
        self.assertEqual(self.user.by_upstream, [True])

    def test_reset_without_a_reset(self) -> None:
        """A kind of socket that knows no reset is just closed."""
        ours, client = self.pair()
        theirs, upstream = tcp_pair()
        self.user.join(ours, theirs)
        with client, upstream:
            client.sendall(b"hello")
            self.reactor.settle()
            self.assertEqual(receive(upstream, 5), b"hello")
            reset(upstream)
            self.reactor.settle()
            self.reactor.advance(0)
            self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.user.over, [Termination.UPSTREAM_RESET])
