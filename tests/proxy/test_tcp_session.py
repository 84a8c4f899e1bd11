"""A client's connection, from accept to end, turned by hand."""

import contextlib
import errno
import gc
import os
import socket
import weakref
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.balance.events import EventKind, RegistryEvent, UpstreamEvent
from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Outcome
from lbconsul.config.model import Mapping, Timeouts
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.loopback import reset
from tests.support.proxy_observer import CountingObserver
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import WEB, WEB_ROUTE, instance

#: One connection to each upstream.
ONE_EACH = FailoverSpec((evolve(WEB, limit=1),))

MAPPING = Mapping("web", timeouts=Timeouts(connect=2.0))


class SessionTestCase(SynchronousTestCase):
    """Sessions of a client and an upstream that the test plays."""

    def setUp(self) -> None:
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        self.held = held
        self.reactor = RecordingReactor()
        self.told: list[RegistryEvent] = []
        self.registry = Registry(
            lambda: 0.0, seconds=self.reactor.seconds, on_event=self.told.append
        )
        self.server = held.enter_context(loopback.listening())
        self.port = self.server.getsockname()[1]
        self.proxy = self.proxy_of(MAPPING)
        self.addCleanup(lambda: self.proxy.close_connections())

    def proxy_of(
        self, mapping: Mapping, route: FailoverSpec = WEB_ROUTE
    ) -> MappingProxy:
        """A proxy for a mapping."""
        failover = self.registry.failover(route)
        observer = CountingObserver()
        return MappingProxy(self.reactor, self.reactor, failover, mapping, observer)

    def start(self) -> TcpSession:
        """A client's session begins."""
        ours, self.client = loopback.tcp_pair()
        self.held.enter_context(self.client)
        return self.start_for(ours)

    def start_for(self, ours: socket.socket) -> TcpSession:
        """A session begins for the socket of a client."""
        now = self.reactor.seconds()
        session = TcpSession(self.proxy, ours, ("192.0.2.1", 4000), now)
        session.start()
        return session

    def nowhere(self) -> None:
        """The upstream does not answer."""
        port = self.held.enter_context(loopback.blackhole())
        self.registry.replace(WEB.query, [instance("a", port)])

    def dial(self) -> TcpSession:
        """A session that does not get an answer from the upstream."""
        self.nowhere()
        return self.start()

    def begin(self) -> TcpSession:
        """A session whose client is joined to the upstream."""
        session = self.start()
        self.reactor.settle()
        self.upstream = self.held.enter_context(loopback.accept(self.server))
        self.assertTrue(session.is_relaying)
        return session

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            self.reactor.turn(0)

    def assert_ended(self, *terminations: str) -> None:
        """So many sessions ended, with these terminations."""
        self.assertEqual([*self.proxy.stats.endings.elements()], [*terminations])
        self.assertEqual((self.proxy.open, self.registry.open_connections()), (0, 0))
        self.assertEqual(self.reactor.reading() | self.reactor.writing(), set())


class SessionTests(SessionTestCase):
    """From accept to end."""

    def test_end_while_dialing(self) -> None:
        """A session can be ended as it dials, once."""
        session = self.dial()
        self.assertFalse(session.is_over or session.is_relaying)
        session.end(Termination.HARD_STOP)
        session.end(Termination.HARD_STOP)
        self.assertTrue(session.is_over)
        self.assertEqual(self.client.recv(1), b"")
        self.assert_ended("KH")

    def test_end_while_relaying(self) -> None:
        """A client that leaves during the relay ends the session once."""
        self.registry.replace(WEB.query, [instance("a", self.port)])
        session = self.begin()
        session.end(Termination.HARD_STOP)
        session.end(Termination.HARD_STOP)
        self.assertTrue(session.is_over)
        self.assertEqual((self.client.recv(1), self.upstream.recv(1)), (b"", b""))
        self.assert_ended("KH")

    def test_greatest_age(self) -> None:
        """A connection as old as it may be is closed, whatever moves on it."""
        self.proxy.close_connections()
        self.proxy = self.proxy_of(evolve(MAPPING, timeouts=Timeouts(max_age=40.0)))
        self.registry.replace(WEB.query, [instance("a", self.port)])
        session = self.begin()
        for _ in range(35):
            self.client.sendall(b"x")
            self.reactor.settle()
            self.assertEqual(self.upstream.recv(1), b"x")
            self.reactor.advance(1.0)
        self.assertTrue(session.is_relaying)
        self.pass_time(10.0)
        self.assertEqual((self.client.recv(1), self.upstream.recv(1)), (b"", b""))
        self.assert_ended("KA")

    def test_nothing_is_left(self) -> None:
        """However a session ends, no circle keeps it from being freed."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.registry.replace(WEB.query, [instance("a", self.port)])
        for end in (reset, socket.socket.close):
            session = weakref.ref(self.begin().client)
            end(self.client)
            self.upstream.close()
            self.reactor.settle()
            self.reactor.advance(0)
            self.assertIsNone(session())
        session = weakref.ref(self.dial().client)
        reset(self.client)
        self.pass_time(0.5)
        self.assertIsNone(session())


class LeavingClientTests(SessionTestCase):
    """Clients that leave while their dial is on."""

    def test_closed_without_a_word(self) -> None:
        """A client that is gone ends its dial, and frees the upstream."""
        self.dial()
        self.client.close()
        self.pass_time(0.5)
        self.assert_ended("CC")

    def test_an_upstream_that_resets(self) -> None:
        """And so does an upstream that resets."""
        self.dial()
        loopback.reset(self.client)
        self.pass_time(0.5)
        self.assert_ended("CC")

    def test_reset_after_a_word(self) -> None:
        """And one whose client sent its request before."""
        self.dial()
        self.client.sendall(b"question")
        loopback.reset(self.client)
        self.pass_time(0.5)
        self.assert_ended("CC")

    def test_half_closed_after_a_word(self) -> None:
        """A client that sent a request and its end waits for an answer."""
        session = self.dial()
        self.client.sendall(b"question")
        self.client.shutdown(socket.SHUT_WR)
        self.pass_time(MAPPING.timeouts.connect - 0.3)
        self.assertFalse(session.is_over)
        unread = bytearray(100)
        self.assertEqual(session.client.recv_into(unread), len(b"question"))

    def test_error_on_looking(self) -> None:
        """A client whose socket has an error to tell is gone."""
        self.nowhere()
        ours, peer = loopback.tcp_pair()
        self.held.enter_context(peer)
        self.start_for(FailingPeek(fileno=ours.detach()))
        self.pass_time(0.5)
        self.assert_ended("CC")

    def test_while_it_waits(self) -> None:
        """A client that leaves while all upstreams are full leaves the queue."""
        self.proxy = self.proxy_of(MAPPING, ONE_EACH)
        self.registry.replace(WEB.query, [instance("a", self.port)])
        full = self.registry.failover(ONE_EACH).lease()
        self.start()
        self.assertEqual(len(self.proxy.wait_queue), 1)
        self.client.close()
        self.pass_time(0.5)
        self.assertEqual(len(self.proxy.wait_queue), 0)
        full.end()
        self.assert_ended("CQ")

    def test_while_there_is_no_descriptor(self) -> None:
        """A client that leaves need not be connected any more."""
        self.registry.replace(WEB.query, [instance("a", self.port)])
        ours, client = loopback.tcp_pair()
        self.held.enter_context(client)
        with loopback.no_descriptor_left():
            self.start_for(ours)
            client.close()
            self.pass_time(0.6)
        self.assert_ended("CC")


class FailingPeek(socket.socket):
    """A socket that cannot be looked at."""

    def recv(self, *_: Any) -> bytes:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


class ProbeTests(SessionTestCase):
    """A session on which it depends if an upstream is restored."""

    @property
    def kinds(self) -> list[str]:
        """What happened to upstreams so far."""
        return [each.kind.value for each in self.told]

    def setUp(self) -> None:
        super().setUp()
        both = instance("a", self.port), instance("b", 80)
        self.registry.replace(WEB.query, both)
        for _ in range(3):
            lease = self.registry.failover(WEB_ROUTE).lease()
            if lease.upstream.instance is both[1]:
                lease = self.registry.failover(WEB_ROUTE).lease([lease.upstream])
            lease.showed(Outcome.REFUSED)
            lease.end()
        self.reactor.advance(12.0)
        self.assertTrue(self.begin().lease.probing)

    def answered_before(self) -> None:
        """Upstreams of the mapping answer."""
        self.proxy.stats.first_byte.counts[0] += 1

    def early_closes(self) -> int:
        """How often in a row the upstream ended connections at once."""
        [upstream] = self.registry.pool(WEB).upstreams()
        assert upstream.record is not None
        return upstream.record.early_closes

    def end_in_order(self) -> None:
        """The client ends it, the upstream hears that, and ends it, too."""
        self.client.close()
        self.reactor.settle()
        self.upstream.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.upstream.recv(1024):
                pass
        self.upstream.close()
        self.reactor.settle()

    def is_probed_after(self, seconds: float) -> bool:
        """Whether another connection probes the upstream then, and none before."""
        failover = self.registry.failover(WEB_ROUTE)
        self.reactor.advance(seconds - 0.1)
        before = failover.lease().probing
        self.reactor.advance(1.1 + seconds / 10)
        return not before and failover.lease().probing

    def test_lives(self) -> None:
        """Once it has lived for a second the upstream is restored, if upstreams
        of the mapping never say anything.
        """
        self.reactor.advance(0.9)
        self.assertEqual(len(self.told), 1)
        self.reactor.advance(0.2)
        self.assertEqual(self.kinds[1:], ["restored"])

    def test_lives_unanswered(self) -> None:
        """
        Where upstreams answer, accepting alone does not restore one: after ten seconds
        another connection probes it. If it answers after all it is restored.
        """
        self.answered_before()
        self.client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.pass_time(10.1)
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.is_probed_after(10.0))
        self.assertEqual(len(self.told), 1)
        self.upstream.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        self.reactor.settle()
        self.assertEqual(self.kinds[1:], ["restored"])

    def test_lives_idle(self) -> None:
        """A client that says nothing waits for no answer: after ten seconds the
        connection has shown as much as it ever may.
        """
        self.answered_before()
        self.pass_time(9.9)
        self.assertEqual(len(self.told), 1)
        self.pass_time(0.2)
        self.assertEqual(self.kinds[1:], ["restored"])

    def test_ends_while_it_lives(self) -> None:
        """A lease that is over reports nothing more, whenever it ended."""
        self.answered_before()
        self.pass_time(1.5)
        reset(self.client)
        self.pass_time(20.0)
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.registry.failover(WEB_ROUTE).lease().probing)

    def test_upstream_speaks(self) -> None:
        """
        An upstream that sends a byte is restored, however long the connection lives
        then.
        """
        self.upstream.sendall(b"220 ready")
        self.reactor.settle()
        self.assertEqual(self.kinds[1:], ["restored"])
        self.upstream.close()
        self.client.close()
        self.reactor.settle()
        self.reactor.advance(1.5)
        self.assertEqual(self.kinds[1:], ["restored"])

    def test_one_way(self) -> None:
        """
        An upstream that took the client's bytes is restored, where upstreams never
        answer (graphite, syslog), and both sides ended in order.
        """
        self.client.sendall(b"web.requests 1 1760000000\n")
        self.end_in_order()
        self.assertEqual(self.kinds[1:], ["restored"])

    def test_gives_up_on_an_answer(self) -> None:
        """Where upstreams answer that proves nothing: a client gave up."""
        self.answered_before()
        self.client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.end_in_order()
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.is_probed_after(10.0))

    def test_one_way_with_doubts(self) -> None:
        """An upstream that took all of a client's bytes made no early close."""
        self.end_in_order()
        self.registry.replace(WEB.query, [instance("c", self.port)])
        failover = self.registry.failover(WEB_ROUTE)
        for _ in range(3):
            for outcome in (Outcome.EARLY_CLOSE,) * 5:
                lease = failover.lease()
                lease.showed(outcome)
                lease.end()
            self.begin()
            self.client.sendall(b"web.requests 1 1760000000\n")
            self.end_in_order()
            self.assertEqual(self.early_closes(), 0)
        lease.showed(Outcome.EARLY_CLOSE)
        self.begin()
        self.end_in_order()
        self.assertEqual(self.early_closes(), 1)

    def test_says_nothing(self) -> None:
        """
        A connection without a byte from either side proves nothing, however orderly.
        """
        self.end_in_order()
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.is_probed_after(10.0))

    def test_never_hears_the_end(self) -> None:
        """
        An upstream that does not react to the client's end may hang: a connection that
        lives on does not restore it.
        """
        self.client.sendall(b"web.requests 1 1760000000\n")
        self.client.close()
        self.pass_time(10.1)
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.is_probed_after(10.0))

    def test_upstream_ends_it(self) -> None:
        """If the upstream ends it at once, it is ejected for twice as long."""
        reset(self.upstream)
        self.reactor.settle()
        self.reactor.advance(1.5)
        [_, again] = self.told
        assert isinstance(again, UpstreamEvent)
        why = "3 consecutive connect failures, 1 consecutive early closes"
        self.assertEqual((again.kind, again.reason), (EventKind.EJECTED, why))
        self.assertEqual(again.seconds, 20.0)

    def test_client_ends_it(self) -> None:
        """A client that leaves at once has shown nothing: another one tries later."""
        reset(self.client)
        self.reactor.settle()
        self.assertEqual(len(self.told), 1)
        self.assertTrue(self.is_probed_after(10.0))
