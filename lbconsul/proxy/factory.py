"""The proxy factory: each client it is given gets a lease, a dial and a relay."""

import random
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import cast

from attrs import Factory, define, field
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from lbconsul.balance.failover import Failover
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.balance.weighted import Chance
from lbconsul.config.model import Mapping
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import reset_on_close
from lbconsul.net.splice import Pipes
from lbconsul.net.sweeper import Checkable, Sweeper, TimeSlicer
from lbconsul.proxy.access_control import Admission
from lbconsul.proxy.access_log import ConnectionLog
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.detach import Adopt
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.drain_manager import DrainManager, least_recently_active
from lbconsul.proxy.relay import Downstream, Relay
from lbconsul.proxy.wait_queue import WaitQueue
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination

#: How often, at least, each relay is inspected, in seconds: how old the counts of
#: bytes may be that moved on open connections, and how long it may take to see that an
#: end failed which the reactor does not watch, since nothing is to be read from it.
_RELAY_ROUND = 1.0

#: By so much of it a connection's greatest age may differ.
_AGE_JITTER = 0.1

#: The same for dials: their clients may leave.
_DIAL_ROUND = 0.25


@implementer(IProtocolFactory)
@define(eq=False, repr=False)
class ProxyFactory:
    """Balances the clients of one mapping over the upstreams of its route.

    Works on any endpoint that yields plain sockets, as in
    ``endpoint.listen(factory)``; our own `Listener` takes a shorter way in.
    """

    poller: Poller
    clock: IReactorTime
    _failover: Failover
    mapping: Mapping
    _log_connections: bool = True
    #: Connections accepted since the start, and those of them not yet over.
    accepted: int = 0
    #: Called at each connection's end.
    ended: Callable[[], None] = lambda: None
    #: Called when a dial finds no descriptor or port.
    starved: Callable[[], None] = lambda: None
    _open: set[DialAttempt | Relay] = field(factory=set)
    pipes: Pipes = field(factory=Pipes)
    #: Shared by all factories of one listening address.
    figures: MappingStats = field(factory=MappingStats)
    #: Shared by all factories of the process, like the sweeper.
    room: ConnectionLimit = field(
        default=Factory(lambda self: ConnectionLimit(self.clock), takes_self=True)
    )
    #: None if everybody is admitted.
    _access_control: Admission | None = field(init=False)
    _sweeper: TimeSlicer = Factory(lambda self: TimeSlicer(self.clock), takes_self=True)
    _log: ConnectionLog = field(init=False)
    _chance: Chance = random.random
    _drain_manager: DrainManager = field(init=False)
    #: Since when nobody comes any more, and how those end who stay too long.
    _retired: float | None = None
    _overdue: Termination = Termination.SOFT_STOP
    # What dials and relays ask of their owner.
    attempts: int = field(init=False)
    connect_timeout: float = field(init=False)
    idle_timeout: float = field(init=False)
    half_close_timeout: float = field(init=False)
    queue_timeout: float = field(init=False)
    empty_timeout: float = field(init=False)
    line: WaitQueue = field(init=False)
    dial_sweeper: Sweeper = field(init=False)
    #: Inspects all that is open, of which dials are inspected more often besides.
    _age_sweeper: Sweeper = field(init=False)

    def __attrs_post_init__(self) -> None:
        mapping, clock = self.mapping, self.clock
        self._access_control = Admission.of(mapping)
        self._log = ConnectionLog(clock, mapping, self._log_connections)
        self.attempts = mapping.attempts
        self.connect_timeout = mapping.connect_timeout
        self.idle_timeout = mapping.idle_timeout
        self.half_close_timeout = mapping.half_close_timeout
        self.queue_timeout = mapping.queue_timeout or mapping.connect_timeout
        self.empty_timeout = mapping.when_empty.wait
        self.line = WaitQueue(clock, mapping.queue_length)
        self._drain_manager = DrainManager(self._failover, mapping, clock.seconds)
        waits = (self.connect_timeout, self.queue_timeout, self.empty_timeout)
        shortest = min(each for each in waits if each)
        self.dial_sweeper = Sweeper(
            clock, Sweeper.interval_for(shortest, _DIAL_ROUND), sweeper=self._sweeper
        )
        found = cast(set[Checkable], self._open)
        self._age_sweeper = Sweeper(clock, self._round(), found, self._sweeper)

    def _round(self) -> float:
        """How often to inspect what is open."""
        mapping = self.mapping
        limits = [mapping.idle_timeout, mapping.half_close_timeout]
        if mapping.max_age:
            limits.append(2 * _AGE_JITTER * mapping.max_age)
        return Sweeper.interval_for(min(limits), _RELAY_ROUND)

    @property
    def open(self) -> int:
        """Connections that are not over, whether they have an upstream yet or not."""
        return len(self._open)

    def connected(self, client: socket.socket, address: object) -> None:
        """Take over a client's socket, which must not block."""
        self.accepted += 1
        self.figures.accepted += 1
        arrival = Downstream(client, address, self.clock.seconds())
        if self._access_control is not None:
            refused = self._access_control.refuse(address)
            if refused is not None:
                self._turn_away(arrival, refused)
                return
        dial = DialAttempt(self, arrival)
        self._open.add(dial)
        self.room.enter()
        try:
            dial.start()
        except Exception:
            # A bug of ours: let it be known, but leak nothing.
            if dial in self._open:
                dial.end(Termination.INTERNAL)
            raise

    def _turn_away(self, arrival: Downstream, refused: Termination) -> None:
        # With a reset the kernel forgets it at once, however many there are.
        reset_on_close(arrival.client)
        arrival.client.close()
        self.figures.turned_away(refused.value)
        self._log.tell(arrival, None, 0, 0, 0, refused)

    def tend(self) -> Iterable[None]:
        """End what is to be ended by now, step by step; a few times a second."""
        if self._open and (self._retired is not None or self._drain_manager.is_due):
            return self._end_due()
        return ()

    def _end_due(self) -> Iterator[None]:
        if self._retired is not None:
            yield from self._end_overdue(self._retired)
        for found in self._drain_manager.due(self._relays):
            if found is not None:
                relay, ending = found
                relay.end(ending)
            yield

    def retire(self, overdue: Termination = Termination.SOFT_STOP) -> None:
        """Nobody comes any more: let what is open end, by the drain timeout.

        What is still open then ends as `overdue`; the first call counts.
        """
        if self._retired is None:
            self._retired, self._overdue = self.clock.seconds(), overdue

    def _end_overdue(self, since: float) -> Iterator[None]:
        """End what is open and is to be closed by now, the idlest first."""
        count = self._drain_manager.count(self.open, since)
        if not count:
            return
        if count == self.open:
            self.line.stop()  # nobody is to take the places of those that end
        relays, dials = list[Relay](), list[DialAttempt]()
        for each in tuple(self._open):
            if isinstance(each, Relay):
                relays.append(each)
            else:
                dials.append(each)
            yield
        for found in chain(least_recently_active(relays), dials):
            if not count:
                return
            if found is not None and not found.over:
                count -= 1
                found.end(self._overdue)
            yield

    def _relays(self) -> Iterator[Relay]:
        """Those that are open now, as far as they are when it is their turn."""
        rest = list(self._open)
        while rest:
            each = rest.pop()  # what ends is not kept
            if isinstance(each, Relay) and not each.over:
                yield each

    def close_connections(self, ending: Termination = Termination.HARD_STOP) -> None:
        """End everything that is open, at once."""
        self.line.stop()  # nobody is to take the places of those that end
        for each in tuple(self._open):
            each.end(ending)
        for sweeper in (self.dial_sweeper, self._age_sweeper):
            sweeper.stop()
        self._log.stop()
        self.pipes.close()

    def lease(self, avoiding: Collection[Upstream], attempts: int) -> Lease:
        """Called by a dial."""
        return self._failover.lease(avoiding, attempts)

    def dial_answered(self, dial: DialAttempt, upstream: socket.socket) -> None:
        """Called by a dial: join the two."""
        assert dial.lease is not None
        identity = dial.lease.upstream.instance.identity
        self.figures.connected(identity, self.clock.seconds() - dial.since)
        arrival, retries = dial.arrival, len(dial.tried)
        if not self.mapping.max_age:
            relay = Relay(self, upstream, dial.lease, arrival, retries)
        else:
            expires = self.clock.seconds() + self._span()
            relay = Relay(self, upstream, dial.lease, arrival, retries, expires)
        self._open.discard(dial)
        self._age_sweeper.add(relay)
        try:
            relay.start()
        except Exception:
            relay.end(Termination.INTERNAL, reset=True)
            raise

    def dial_failed(self, dial: DialAttempt, ending: Termination) -> None:
        """Called by a dial, which is over."""
        self._open.discard(dial)
        self.figures.turned_away(ending.value)
        self._log.tell(dial.arrival, None, 0, 0, len(dial.tried), ending)
        self._over(dial.arrival)

    def dial_refused(self, upstream: Upstream) -> None:
        """Called by a dial, which tries the next one."""
        self.figures.failed(upstream.instance.identity)

    def dial_starved(self) -> None:
        """Called by a dial, which waits."""
        self.starved()

    def first_byte(self, seconds: float) -> None:
        """Called by a relay."""
        self.figures.first_byte.observe(seconds)

    @property
    def is_answered(self) -> bool:
        """Asked by a relay."""
        return self.figures.is_answered

    def relay_moved(self, relay: Relay, received: int, sent: int) -> None:
        """Called by a relay, now and then."""
        self.figures.moved(relay.lease.upstream.instance.identity, received, sent)

    def relay_over(self, relay: Relay, ending: Termination) -> None:
        """Called by a relay, which is over."""
        self._open.discard(relay)
        relay.lease.end()
        received, sent = relay.client.moved, relay.upstream.moved
        self.figures.over(
            relay.lease.upstream.instance.identity,
            received - relay.told_received,
            sent - relay.told_sent,
            self.clock.seconds() - relay.arrival.time,
            ending.value,
        )
        self._log.tell(
            relay.arrival,
            relay.lease.upstream,
            received,
            sent,
            relay.retries,
            ending,
        )
        self._over(relay.arrival)

    def _span(self) -> float:
        """How old a connection may be: by chance, so that not all end together."""
        shortest = self.mapping.max_age * (1 - _AGE_JITTER)
        latitude = 2 * _AGE_JITTER * self.mapping.max_age
        # The sweeper comes late by up to its interval.
        return shortest + self._chance() * max(0, latitude - self._age_sweeper.interval)

    def _over(self, arrival: Downstream) -> None:
        """A connection that was let in is over."""
        if self._access_control is not None:
            self._access_control.left(arrival.address)
        self.room.leave()
        if self.line:
            self.line.advance()
        self.ended()

    # What an endpoint asks of a factory.

    def buildProtocol(self, address: IAddress) -> Protocol:
        """A protocol that hands its transport's socket to `connected`."""
        return Adopt(self.connected)

    def doStart(self) -> None:
        """Nothing to do before listening."""

    def doStop(self) -> None:
        """The endpoint stopped listening; what is open lives on."""
