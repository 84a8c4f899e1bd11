"""The search for an upstream that accepts, turned by hand."""

import contextlib
import errno
import os
import random
import select
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast
from unittest.mock import patch

from attrs import Factory, define, evolve, field
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.balance.failover import Failover
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import FailoverSpec, OutlierConfig, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease, Outcome, OutlierRecord, Upstream
from lbconsul.net import connect as net_connect
from lbconsul.net.connect import connect
from lbconsul.net.sockets import BareSocket
from lbconsul.net.stream import Stream
from lbconsul.net.sweeper import Sweeper
from lbconsul.proxy.dialer import DialAttempt, Dialer, DialState
from lbconsul.proxy.wait_queue import LOOK_EVERY, WaitQueue
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import WEB, WEB_ROUTE, instance, opens, registry_of

TIMEOUT = 2.0

#: One connection to each upstream.
ONE_EACH = FailoverSpec((evolve(WEB, limit=1),))

#: What a reactor says of a descriptor with an error.
LOST = Failure(ConnectionLost())


@define(eq=False)
class User:
    """Needs upstreams, checks its dials, and notes how they went."""

    reactor: RecordingReactor
    registry: Registry
    route: FailoverSpec = WEB_ROUTE
    attempts: int = 3
    queue_length: int = 2
    dialer: Dialer = field(init=False)
    sweeper: Sweeper = field(init=False)
    #: The ports that were tried, in their order.
    tried: list[int] = Factory(list)
    answered: list[BareSocket] = Factory(list)
    failed: list[Termination] = Factory(list)
    #: How often there was nothing to dial with.
    starved: int = 0

    def __attrs_post_init__(self) -> None:
        self.sweeper = Sweeper(self.reactor, Sweeper.interval_for(TIMEOUT, 0.25))
        self.dialer = Dialer(
            self.reactor,
            self.reactor,
            cast(Failover, self),
            WaitQueue(self.reactor, self.queue_length),
            MappingStats(),
            attempts=self.attempts,
            connect_timeout=TIMEOUT,
            queue_timeout=2 * TIMEOUT,
            empty_timeout=0.0,
        )

    def dial(self) -> DialAttempt:
        """Begin to dial."""
        dial = DialAttempt(self.dialer, self, self.reactor.seconds())
        dial.start()
        if dial.state is not DialState.OVER:
            self.sweeper.add(dial)
        return dial

    def lease(
        self,
        avoiding: Collection[Upstream],
        attempts: int,
        key: HashKey | None = None,
    ) -> Lease:
        """In the place of the failover: note what it leases."""
        lease = self.registry.failover(self.route).lease(avoiding, attempts, key)
        self.tried.append(lease.upstream.instance.port)
        return lease

    @property
    def refused(self) -> dict[str, int]:
        """How often upstreams did not accept, by service id."""
        accounts = self.dialer.stats.accounts.items()
        return {
            identity.service_id: account.failures
            for identity, account in accounts
            if account.failures
        }

    def on_connected(self, upstream: Stream) -> None:
        self.sweeper.stop()
        assert isinstance(upstream, BareSocket)
        self.answered.append(upstream)

    def on_failed(self, termination: Termination) -> None:
        self.sweeper.stop()
        self.failed.append(termination)

    def on_starved(self) -> None:
        self.starved += 1


def no_watches(_: object) -> None:
    """Refuse as epoll_ctl(2) does when there are too many."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class DialTestCase(SynchronousTestCase):
    """Dials of a user that has no client."""

    def setUp(self) -> None:
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        self.held = held
        self.reactor = RecordingReactor()

    def dial(self, *instances: Instance, attempts: int = 3) -> tuple[User, DialAttempt]:
        """Begin to dial over these instances."""
        self.registry = registry_of(*instances)
        user = User(self.reactor, self.registry, attempts=attempts)
        return user, user.dial()

    def cancel(self, user: User, dial: DialAttempt) -> None:
        """Cancel a dial, once more than it takes."""
        dial.cancel()
        dial.cancel()
        user.sweeper.items.discard(dial)

    def listening(self) -> int:
        """The port of an upstream that accepts."""
        server = self.held.enter_context(loopback.listening())
        port: int = server.getsockname()[1]
        return port

    def refusing(self) -> int:
        """The port of an upstream that refuses."""
        return self.held.enter_context(loopback.refusing())

    def blackhole(self) -> int:
        """The port of an upstream that does not answer."""
        return self.held.enter_context(loopback.blackhole())

    def pass_time(self, seconds: float) -> None:
        """Let time pass as it does, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            self.reactor.turn(0)

    def assert_answered(self, user: User, dial: DialAttempt) -> None:
        """The dial succeeded: the socket is connected, and the lease lives."""
        self.reactor.turn_until(lambda: bool(user.answered or user.failed))
        self.assertEqual(user.failed, [])
        [upstream] = user.answered
        assert dial.lease is not None
        port = dial.lease.upstream.instance.port
        self.assertEqual(upstream.getpeername()[1], port)
        self.assertEqual(upstream.gettimeout(), 0.0)
        self.assertEqual(self.registry.open_connections(), 1)
        self.assert_left()
        upstream.close()

    def assert_failed(self, user: User, *terminations: Termination) -> None:
        """The dial failed, and no lease is left."""
        if terminations:
            self.reactor.turn_until(lambda: bool(user.answered or user.failed))
        self.assertEqual(user.failed, [*terminations])
        self.assertEqual(user.answered, [])
        self.assertEqual(self.registry.open_connections(), 0)
        self.assert_left()

    def assert_left(self) -> None:
        """The reactor and the patrol know of it no longer."""
        self.assertEqual(self.reactor.reading() | self.reactor.writing(), set())
        self.reactor.advance(1.0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


def _without_ipv6(
    connect: Callable[[str, int], tuple[BareSocket | None, int]],
) -> Callable[[str, int], tuple[BareSocket | None, int]]:
    """As on a host without IPv6 addresses."""

    def connect_without(address: str, port: int) -> tuple[BareSocket | None, int]:
        if ":" in address:
            return None, errno.EADDRNOTAVAIL
        return connect(address, port)

    return connect_without


class DialTests(DialTestCase):
    """Dials that nothing but upstreams stand in the way of."""

    def test_interface(self) -> None:
        """A dial is what the reactor takes for a writer."""
        user, dial = self.dial(instance("a", self.listening()))
        self.assertTrue(verifyObject(IWriteDescriptor, dial))
        self.assertEqual(dial.logPrefix(), "dial")
        self.assert_answered(user, dial)
        self.assertEqual(dial.fileno(), -1)

    def test_counted_before_it_is_there(self) -> None:
        """A connection counts from the moment it is begun."""
        self.dial(instance("a", self.blackhole()))
        self.assertEqual(opens(self.registry), {"a": 1})

    def test_small_pieces_are_sent_at_once(self) -> None:
        """The connection does not wait to fill its packets."""
        user, dial = self.dial(instance("a", self.listening()))
        self.reactor.turn_until(lambda: bool(user.answered))
        nodelay = user.answered[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.assertTrue(nodelay)
        self.assert_answered(user, dial)

    def test_ipv6(self) -> None:
        """An instance may have an IPv6 address."""
        server = self.held.enter_context(loopback.listening(host="::1"))
        user, dial = self.dial(instance("a", server.getsockname()[1], "::1"))
        self.assert_answered(user, dial)

    def test_next_one(self) -> None:
        """Of those that refuse none is tried twice, and the client gets the other."""
        ports = [self.refusing(), self.refusing(), self.listening()]
        for seed in range(20):
            random.Random(seed).shuffle(ports)
            user, dial = self.dial(*(instance(f"{n}", n) for n in ports))
            self.assert_answered(user, dial)
            self.assertEqual(len({*user.tried}), len(user.tried))
            self.assertEqual(
                [each.instance.port for each in dial.tried], user.tried[:-1]
            )

    def test_all_refuse(self) -> None:
        """When each of them refused, the dial fails."""
        user, _ = self.dial(*(instance(f"{n}", self.refusing()) for n in range(2)))
        self.assert_failed(user, Termination.REFUSED)
        self.assertEqual(len({*user.tried}), 2)

    def at(self, service_id: str, port: int, *addresses: str) -> Instance:
        """An instance whose name has these addresses."""
        first, *others = addresses
        return evolve(instance(service_id, port, first), alternates=tuple(others))

    def test_other_addresses(self) -> None:
        """If an address refuses, the others of its name are tried, and none twice."""
        port = self.listening()
        several = self.at("a", port, "127.0.0.7", "127.0.0.8", "127.0.0.1")
        user, dial = self.dial(several)
        self.assert_answered(user, dial)
        self.assertEqual(opens(self.registry), {"a": 1})
        self.assertEqual(len(dial.tried), 2)
        # It has not failed, and the next connection begins where this one ended.
        [upstream] = self.registry.pool(WEB).upstreams()
        self.assertEqual(upstream.instance.address, "127.0.0.1")
        self.assertEqual([each.refused for each in [upstream.record] if each], [0])

    def test_all_addresses_refuse(self) -> None:
        """Then the instance has refused, once; and each of its addresses was tried."""
        several = self.at("a", self.refusing(), "127.0.0.1", "127.0.0.2")
        user, dial = self.dial(several, attempts=9)
        self.assert_failed(user, Termination.REFUSED)
        self.assertEqual(len(dial.tried), 2)
        [upstream] = self.registry.pool(WEB).upstreams()
        self.assertEqual([each.refused for each in [upstream.record] if each], [1])

    def test_the_last_attempt_is_another_one_s(self) -> None:
        """However many addresses are dead, a client reaches a live one."""
        addresses = [f"127.0.0.{number}" for number in range(1, 9)]
        several = self.at("a", self.refusing(), *addresses)
        user, dial = self.dial(several)
        self.assert_failed(user, Termination.REFUSED)
        self.assertEqual(len(dial.tried), 3)
        self.setUp()
        user, dial = self.dial(several, instance("b", self.listening()))
        self.assert_answered(user, dial)
        assert dial.lease is not None
        self.assertEqual(dial.lease.upstream.instance.identity.service_id, "b")

    def test_a_silent_address(self) -> None:
        """After a timeout others are tried first, and then the name's next address."""
        port = self.blackhole()
        self.held.enter_context(socket.create_server(("127.0.0.9", port)))
        user, dial = self.dial(self.at("a", port, "127.0.0.1", "127.0.0.9"))
        self.pass_time(TIMEOUT + 0.3)
        self.assert_answered(user, dial)
        self.assertEqual([each.refused for each in self.records()], [0])

    def test_a_family_that_this_host_has_not(self) -> None:
        """An address for which there is none of ours is left for the next one."""
        port = self.listening()
        several = self.at("a", port, "2001:db8::1", "127.0.0.1")
        with patch("lbconsul.proxy.dialer.connect", _without_ipv6(connect)):
            user, dial = self.dial(several)
        self.assert_answered(user, dial)
        self.assertEqual(user.refused, {})

    def records(self) -> list[OutlierRecord]:
        """The outlier records of the upstreams."""
        upstreams = self.registry.pool(WEB).upstreams()
        return [each.record for each in upstreams if each.record is not None]

    def test_attempts(self) -> None:
        """No more upstreams are tried than the mapping allows."""
        ports = [self.refusing() for _ in range(5)]
        user, dial = self.dial(*(instance(f"{n}", n) for n in ports), attempts=2)
        self.assert_failed(user, Termination.REFUSED)
        self.assertEqual(len(user.tried), 2)
        self.assertEqual(len(dial.tried), 2)

    def test_attempts_among_ejected_ones(self) -> None:
        """Ejected upstreams, the last resort, cost attempts as any others: a client
        does not wait for every one of a whole datacenter.
        """
        self.registry = registry_of()
        selections = [
            evolve(
                WEB,
                query=ServiceQuery("web", dc),
                patience=OutlierConfig(whole=True),
            )
            for dc in ("dc1", "dc2")
        ]
        first, second = (each.query for each in selections)
        self.registry.failover(FailoverSpec(tuple(selections)))
        many = [instance(f"{n}", self.refusing()) for n in range(20)]
        self.registry.replace(second, [instance("z", self.refusing())])
        self.registry.replace(first, many)
        for each in many:
            self.registry.eject(each.identity)
        user = User(self.reactor, self.registry, FailoverSpec(tuple(selections)))
        dial = user.dial()
        self.assert_failed(user, Termination.REFUSED)
        # One of the second datacenter, and as many of the first as there are attempts.
        self.assertEqual(len(dial.tried), 1 + 3)

    def test_no_upstream(self) -> None:
        """A dial of a service without upstreams fails at once."""
        user, _ = self.dial()
        self.assert_failed(user, Termination.REFUSED)

    def test_unreachable(self) -> None:
        """An unreachable address counts as a refusal."""
        broadcast = instance("a", 80, "255.255.255.255")
        user, dial = self.dial(broadcast, instance("b", self.listening()))
        self.assert_answered(user, dial)
        user, _ = self.dial(broadcast)
        self.assert_failed(user, Termination.REFUSED)

    def test_no_such_scope(self) -> None:
        """So does an IPv6 address of a network interface that this host lacks."""
        user, _ = self.dial(instance("a", 80, "fe80::1%nowhere"))
        self.assert_failed(user, Termination.REFUSED)

    def test_timeout(self) -> None:
        """An address that does not answer in time is left for the next one."""
        silent = instance("a", self.blackhole())
        user, dial = self.dial(silent)
        self.registry.replace(
            WEB_ROUTE.selections[0].query,
            [silent, instance("b", self.listening(), weight=100)],
        )
        self.pass_time(TIMEOUT - 0.3)
        self.assertEqual(user.answered, [])
        self.pass_time(0.6)
        self.assert_answered(user, dial)
        self.assertEqual([len(user.tried), len(dial.tried)], [2, 1])

    def test_all_time_out(self) -> None:
        """When the last one did not answer in time, that is how it ended."""
        ports = [self.blackhole(), self.blackhole()]
        user, _ = self.dial(*(instance(f"{n}", n) for n in ports))
        self.pass_time(2 * TIMEOUT - 0.3)
        self.assertEqual(user.failed, [])
        self.pass_time(0.9)
        self.assert_failed(user, Termination.CONNECT_TIMEOUT)
        self.assertEqual(len(user.tried), 2)

    def test_each_has_its_time(self) -> None:
        """A late refusal does not cost the next one any of its time."""
        ports = [self.blackhole(), self.blackhole()]
        user, dial = self.dial(*(instance(f"{n}", n) for n in ports))
        self.pass_time(TIMEOUT * 0.75)
        self.reactor.removeWriter(dial)
        dial.connectionLost(LOST)
        self.assertEqual(len(user.tried), 2)
        self.pass_time(TIMEOUT * 0.75)
        self.assertEqual(user.failed, [])
        self.pass_time(TIMEOUT * 0.5)
        self.assert_failed(user, Termination.CONNECT_TIMEOUT)

    def test_late_answer(self) -> None:
        """An answer that takes its time is waited for."""
        with loopback.full_queue() as server:
            user, dial = self.dial(instance("a", server.getsockname()[1]))
            self.assertEqual(self.reactor.writing(), {dial.fileno()})
            server.setblocking(False)

            def make_room() -> bool:
                with contextlib.suppress(BlockingIOError):
                    self.held.enter_context(server.accept()[0])
                return bool(user.answered)

            self.reactor.turn_until(make_room)  # on the second SYN, after 1 s
            self.assert_answered(user, dial)

    def test_late_refusal(self) -> None:
        """
        A refusal that takes its time is seen, whether the reactor tells it as
        a loss, as one of epoll does, or as room to write, as one of select does.
        """
        with loopback.blackhole() as port:
            user, dial = self.dial(instance("a", port))
        self.assertEqual(user.failed, [])
        self.assert_failed(user, Termination.REFUSED)  # on the second SYN, after 1 s
        with loopback.blackhole() as port:
            user, dial = self.dial(instance("a", port))
        self.assertEqual(user.failed, [])
        select.select([], [dial], [], loopback.PATIENCE)
        dial.doWrite()
        self.assert_failed(user, Termination.REFUSED)

    def test_told_twice(self) -> None:
        """An error that the reactor tells again is no second one."""
        user, dial = self.dial(instance("a", self.blackhole()))
        self.reactor.removeWriter(dial)
        for _ in range(2):
            dial.connectionLost(LOST)
        self.assert_failed(user, Termination.REFUSED)

    def test_reactor_ends(self) -> None:
        """When all is at its end no other upstream is asked."""
        user, dial = self.dial(instance("a", self.blackhole()), instance("b", 9))
        self.reactor.forget(dial)
        dial.connectionLost(Failure(ConnectionDone()))
        self.assert_failed(user, Termination.HARD_STOP)
        self.assertEqual(len(user.tried), 1)

    def test_a_bug_ends_the_dial(self) -> None:
        """A bug that the poller meets ends the dial, and leaves nothing behind."""
        user, dial = self.dial(instance("a", self.blackhole()))
        self.reactor.forget(dial)
        dial.connectionLost(Failure(RuntimeError()))
        dial.connectionLost(Failure(RuntimeError()))
        self.assert_failed(user, Termination.INTERNAL)

    def test_bug_between_two(self) -> None:
        """So does a bug that shows when the next upstream is chosen."""
        user, dial = self.dial(instance("a", self.blackhole()))
        user.registry = None  # type: ignore[assignment]
        self.pass_time(TIMEOUT + 1)
        self.assertIs(dial.state, DialState.OVER)
        self.assert_failed(user, Termination.INTERNAL)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_poller_refuses(self) -> None:
        """A poller that can watch no more is a want of descriptors like another."""
        with patch.object(self.reactor, "addWriter", side_effect=no_watches):
            user, dial = self.dial(instance("a", self.blackhole()))
        self.assertEqual((user.starved, user.failed), (1, []))
        self.cancel(user, dial)
        self.assert_failed(user)

    def test_cancelled(self) -> None:
        """A dial that its user cancels tells nothing, and leaves nothing behind."""
        user, dial = self.dial(instance("a", self.blackhole()))
        self.cancel(user, dial)
        dial.connectionLost(LOST)
        dial.check(self.reactor.seconds())
        self.assert_failed(user)


class WaitingTests(DialTestCase):
    """Dials that have to wait for their turn, since the only upstream is full."""

    def setUp(self) -> None:
        super().setUp()
        self.instance = instance("a", self.listening())
        self.registry = registry_of(self.instance)
        self.full = self.registry.failover(ONE_EACH).lease()
        self.waits = User(self.reactor, self.registry, ONE_EACH)
        self.waiting = self.waits.dial()

    def test_no_upstream_is_chosen_meanwhile(self) -> None:
        """Meanwhile no upstream is chosen, and the reactor has nothing to watch."""
        self.pass_time(2 * TIMEOUT - 0.3)
        self.assertEqual((self.waits.tried, self.waits.failed), ([], []))
        self.assertEqual(self.reactor.reading() | self.reactor.writing(), set())
        self.assertEqual(self.waiting.fileno(), -1)
        self.full.end()
        self.reactor.advance(LOOK_EVERY)
        self.assert_answered(self.waits, self.waiting)

    def test_one_that_has_recovered(self) -> None:
        """
        An upstream that refused before is tried again once it accepts others: no client
        waits while it has room.
        """
        self.cancel(self.waits, self.waiting)
        server = self.held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        other = instance("b", server.getsockname()[1])
        self.registry.replace(WEB.query, [self.instance, other])
        user = User(self.reactor, self.registry, ONE_EACH)
        dial = user.dial()
        self.pass_time(0.5)
        self.assertEqual((user.refused, user.answered), ({"b": 1}, []))
        server.listen()
        self.pass_time(0.5)
        self.assertEqual(user.answered, [])
        one = self.registry.failover(ONE_EACH).lease()
        one.showed(Outcome.CONNECTED)
        one.end()
        self.pass_time(0.1)
        self.full.end()
        self.assert_answered(user, dial)
        assert dial.lease is not None
        self.assertEqual(dial.lease.upstream, one.upstream)

    def test_no_more_than_its_attempts(self) -> None:
        """However often one seems to recover, a client tries no more than it may."""
        self.cancel(self.waits, self.waiting)
        other = instance("b", self.refusing())
        self.registry.replace(WEB.query, [self.instance, other])
        user = User(self.reactor, self.registry, ONE_EACH)
        user.dial()
        for _ in range(9):
            for upstream in self.registry.pool(ONE_EACH.selections[0]).upstreams():
                upstream.record = None
            self.pass_time(0.1)
        self.assertEqual(user.refused, {"b": user.attempts})
        self.full.end()

    def test_too_long(self) -> None:
        """After the time for that it is over."""
        self.pass_time(2 * TIMEOUT + 0.4)
        self.full.end()
        self.assert_failed(self.waits, Termination.QUEUE_TIMEOUT)

    def test_queue_full(self) -> None:
        """A client for which the queue has no room ends at once."""
        self.cancel(self.waits, self.waiting)
        user = User(self.reactor, self.registry, ONE_EACH, queue_length=0)
        user.dial()
        self.full.end()
        self.assert_failed(user, Termination.QUEUE_FULL)

    def test_cancelled(self) -> None:
        """A dial that its user cancels leaves the queue."""
        self.cancel(self.waits, self.waiting)
        self.assertFalse(self.waits.dialer.wait_queue.queues)
        self.full.end()
        self.assert_failed(self.waits)

    def test_time_to_connect_counts_from_its_turn(self) -> None:
        """A client that waited for long still has the whole time to connect."""
        silent = instance("b", self.blackhole())
        self.pass_time(2 * TIMEOUT - 0.5)
        self.registry.replace(WEB.query, [silent])
        self.pass_time(TIMEOUT - 0.3)
        self.assertEqual((len(self.waits.tried), self.waits.failed), (1, []))
        self.pass_time(0.8)
        self.full.end()
        self.assert_failed(self.waits, Termination.CONNECT_TIMEOUT)

    def test_no_descriptor_when_its_turn_comes(self) -> None:
        """Out of descriptors then, it keeps the place until there is one."""
        self.full.end()
        with loopback.no_descriptor_left():
            self.reactor.advance(LOOK_EVERY)
        self.assertEqual((self.waits.starved, self.waits.failed), (1, []))
        self.assertEqual(self.registry.open_connections(), 1)
        self.assertFalse(self.waits.dialer.wait_queue.queues)
        self.pass_time(0.5)
        self.assert_answered(self.waits, self.waiting)

    def test_looked_at_after_its_end(self) -> None:
        """A patrol that comes to it in the round in which it went on does no harm."""
        self.full.end()
        self.reactor.advance(LOOK_EVERY)
        self.reactor.settle()
        self.waiting.check(self.reactor.seconds())
        self.assert_answered(self.waits, self.waiting)
        self.assertEqual(len(self.waits.tried), 1)

    def test_bug_when_its_turn_comes(self) -> None:
        """A bug then is its end, and leaves nothing behind."""
        self.full.end()
        broken = instance("b", 80, "no\0address")
        self.registry.replace(WEB.query, [broken])
        self.reactor.advance(LOOK_EVERY)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assert_failed(self.waits, Termination.INTERNAL)


class ScriptedSocket(BareSocket):
    """A socket whose making and connecting go as a list says, then as they go."""

    making: list[int]
    connecting: list[int]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if self.making:
            code = self.making.pop(0)
            raise OSError(code, os.strerror(code))
        super().__init__(*arguments, **named)

    def connect_ex(self, address: Any) -> int:
        if not self.connecting:
            return super().connect_ex(address)
        code = self.connecting.pop(0)
        if not code:
            self.setblocking(True)
            self.connect(address)
            self.setblocking(False)
        return code


class StarvedTests(DialTestCase):
    """Dials for which the machine has no descriptor or port, and other replies."""

    def script(self, making: Sequence[int] = (), connecting: Sequence[int] = ()) -> Any:
        """A class of sockets that fail with these codes before they work."""
        kind = type("Scripted", (ScriptedSocket,), {})
        kind.making, kind.connecting = [*making], [*connecting]  # type: ignore[attr-defined]
        self.patch(net_connect, "BareSocket", kind)
        return kind

    def test_connected_at_once(self) -> None:
        """A connection that is there at once needs no turn of the reactor."""
        port = self.listening()
        self.script(connecting=[0])
        user, dial = self.dial(instance("a", port))
        self.assertEqual(len(user.answered), 1)
        self.assert_answered(user, dial)

    def test_connected_to_itself(self) -> None:
        """
        Where no process listens any more the kernel may connect a socket to itself,
        whose echo would look like an answer: that counts as a refusal.
        """

        class Own(BareSocket):
            def connect_ex(self, address: Any) -> int:
                with contextlib.suppress(OSError):
                    self.bind(address)
                return super().connect_ex(address)

        with loopback.listening() as server:
            port = server.getsockname()[1]
        self.patch(net_connect, "BareSocket", Own)
        user, _ = self.dial(instance("a", port))
        self.reactor.settle()
        self.assert_failed(user, Termination.REFUSED)

    def test_reset_as_soon_as_accepted(self) -> None:
        """
        An upstream that resets before the dial sees the connection counts as a refusal.
        """

        class Short(BareSocket):
            def getsockname(self) -> Any:
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

        with loopback.listening() as server:
            self.patch(net_connect, "BareSocket", Short)
            user, _ = self.dial(instance("a", server.getsockname()[1]))
            self.reactor.settle()
        self.assert_failed(user, Termination.REFUSED)

    def test_no_descriptor_for_a_while(self) -> None:
        """Out of descriptors is no fault of the upstream's: it is tried again."""
        port = self.listening()
        for making, connecting in (
            ([errno.EMFILE] * 3, []),
            ([errno.ENFILE], [errno.ENOBUFS] * 2),
        ):
            kind = self.script(making, connecting)
            user, dial = self.dial(instance("a", port))
            self.pass_time(1.2)
            self.assertEqual((kind.making, kind.connecting), ([], []))
            self.assert_answered(user, dial)
            self.assertEqual((user.tried, dial.tried), ([port], []))
            self.assertGreater(user.starved, 0)  # so that no more clients come in

    def test_no_port_or_address_for_one(self) -> None:
        """
        Where no local port is left for one upstream, or no address of its family
        is had, another one is tried; if there is none, it ends at once.
        """
        port = self.listening()
        self.script(connecting=[errno.EADDRNOTAVAIL])
        both = instance("a", 80, weight=1000), instance("b", port)
        user, dial = self.dial(*both)
        self.assert_answered(user, dial)
        self.assertEqual((user.tried, user.starved), ([80, port], 0))

    def test_no_port_or_address_for_any(self) -> None:
        """If there is no other upstream the client ends at once."""
        self.script(connecting=[errno.EADDRNOTAVAIL])
        user, _ = self.dial(instance("a", 80))
        self.assert_failed(user, Termination.STARVED)

    def test_no_descriptor_for_long(self) -> None:
        """The dial is given up after connect-timeout."""
        port = self.listening()
        self.script(making=[errno.EMFILE] * 1000)
        user, _ = self.dial(instance("a", port))
        self.pass_time(TIMEOUT - 0.3)
        self.assertEqual((user.failed, opens(self.registry)), ([], {"a": 1}))
        self.pass_time(0.6)
        self.assert_failed(user, Termination.STARVED)
        self.assertEqual(user.tried, [port])

    def test_no_socket_of_that_kind(self) -> None:
        """A machine without IPv6 goes on to the next upstream."""
        port = self.listening()
        self.script(making=[errno.EAFNOSUPPORT])
        user, dial = self.dial(
            instance("a", 80, "::1", weight=1000), instance("b", port)
        )
        self.assert_answered(user, dial)
