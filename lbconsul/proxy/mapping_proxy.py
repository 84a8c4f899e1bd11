"""One mapping's proxy: gives each client a dial, a lease and a relay."""

import random
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import cast

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime

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
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.drain_manager import DrainManager, least_recently_active
from lbconsul.proxy.relay import Downstream, Relay
from lbconsul.proxy.wait_queue import WaitQueue
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination

#: Longest time between inspections of a relay, in seconds.  It bounds the age of byte
#: counts of open connections, and the time until the relay sees a failed peer while
#: the poller does not watch that side, since nothing is read from it.
_RELAY_ROUND = 1.0

#: The fraction of `max-age` by which a connection's age limit varies either way.
_AGE_JITTER = 0.1

#: Longest time between inspections of a dial, in seconds: its client may leave.
_DIAL_ROUND = 0.25


@define(eq=False, repr=False)
class MappingProxy:
    """Balances the clients of one mapping over the upstreams of its pools.

    Holds the mapping's settings, counts, wait queue and open connections.
    """

    poller: Poller
    clock: IReactorTime
    _failover: Failover
    mapping: Mapping
    _log_connections: bool = True
    #: Connections accepted since the start.
    accepted: int = 0
    #: Called at each connection's end.
    ended: Callable[[], None] = lambda: None
    #: Called when a dial finds no descriptor or port.
    starved: Callable[[], None] = lambda: None
    _open: set[DialAttempt | Relay] = field(factory=set)
    pipes: Pipes = field(factory=Pipes)
    #: Shared by all mappings of one listening address.
    figures: MappingStats = field(factory=MappingStats)
    #: Shared by all mappings of the process, like the sweeper.
    room: ConnectionLimit = field(
        default=Factory(lambda self: ConnectionLimit(self.clock), takes_self=True)
    )
    #: None if the mapping admits every client.
    _access_control: Admission | None = field(init=False)
    _sweeper: TimeSlicer = Factory(lambda self: TimeSlicer(self.clock), takes_self=True)
    _log: ConnectionLog = field(init=False)
    _chance: Chance = random.random
    _drain_manager: DrainManager = field(init=False)
    #: Since when the mapping drains, and the termination of connections that it closes.
    _retired: float | None = None
    _overdue: Termination = Termination.SOFT_STOP
    # Options that dials and relays read from their owner.
    attempts: int = field(init=False)
    connect_timeout: float = field(init=False)
    idle_timeout: float = field(init=False)
    half_close_timeout: float = field(init=False)
    queue_timeout: float = field(init=False)
    empty_timeout: float = field(init=False)
    line: WaitQueue = field(init=False)
    dial_sweeper: Sweeper = field(init=False)
    #: Inspects all that is open; `dial_sweeper` inspects dials more often besides.
    _age_sweeper: Sweeper = field(init=False)

    def __attrs_post_init__(self) -> None:
        mapping, clock = self.mapping, self.clock
        self._access_control = Admission.of(mapping)
        self._log = ConnectionLog(clock, mapping, self._log_connections)
        self.attempts = mapping.attempts
        self.connect_timeout = mapping.timeouts.connect
        self.idle_timeout = mapping.timeouts.idle
        self.half_close_timeout = mapping.timeouts.half_close
        self.queue_timeout = mapping.timeouts.queue or mapping.timeouts.connect
        self.empty_timeout = mapping.when_empty.wait
        self.line = WaitQueue(clock, mapping.limits.queue_length)
        self._drain_manager = DrainManager(self._failover, mapping, clock.seconds)
        waits = (self.connect_timeout, self.queue_timeout, self.empty_timeout)
        shortest = min(each for each in waits if each)
        self.dial_sweeper = Sweeper(
            clock, Sweeper.interval_for(shortest, _DIAL_ROUND), sweeper=self._sweeper
        )
        found = cast(set[Checkable], self._open)
        self._age_sweeper = Sweeper(clock, self._round(), found, self._sweeper)

    def _round(self) -> float:
        """The seconds between inspections of what is open."""
        mapping = self.mapping
        limits = [mapping.timeouts.idle, mapping.timeouts.half_close]
        if mapping.timeouts.max_age:
            limits.append(2 * _AGE_JITTER * mapping.timeouts.max_age)
        return Sweeper.interval_for(min(limits), _RELAY_ROUND)

    @property
    def open(self) -> int:
        """Open connections, with an upstream or still dialing."""
        return len(self._open)

    def connected(self, client: socket.socket, address: object) -> None:
        """Take over the non-blocking socket of a client."""
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
            # A bug in lbconsul: report it, but leak nothing.
            if dial in self._open:
                dial.end(Termination.INTERNAL)
            raise

    def _turn_away(self, arrival: Downstream, refused: Termination) -> None:
        # After a reset the kernel keeps no TIME-WAIT state, however many come.
        reset_on_close(arrival.client)
        arrival.client.close()
        self.figures.turned_away(refused.value)
        self._log.tell(arrival, None, 0, 0, 0, refused)

    def tend(self) -> Iterable[None]:
        """Close what is due, step by step; `Periodic` calls it each `EVERY` seconds."""
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
        """Drain: let open connections end, and close the rest by the drain timeout.

        Those that are closed end as `overdue`.  Only the first call has an effect.
        """
        if self._retired is None:
            self._retired, self._overdue = self.clock.seconds(), overdue

    def _end_overdue(self, since: float) -> Iterator[None]:
        """Close connections that are due since the drain began, least active first."""
        count = self._drain_manager.count(self.open, since)
        if not count:
            return
        if count == self.open:
            self.line.stop()  # queued dials must not take the freed slots
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
        """Close all open connections at once, and stop the sweepers."""
        self.line.stop()  # queued dials must not take the freed slots
        for each in tuple(self._open):
            each.end(ending)
        for sweeper in (self.dial_sweeper, self._age_sweeper):
            sweeper.stop()
        self._log.stop()
        self.pipes.close()

    def lease(self, avoiding: Collection[Upstream], attempts: int) -> Lease:
        """Lease an upstream for a dial, from the pools by priority."""
        return self._failover.lease(avoiding, attempts)

    def dial_answered(self, dial: DialAttempt, upstream: socket.socket) -> None:
        """Relay between the client and the upstream that a dial connected to."""
        assert dial.lease is not None
        identity = dial.lease.upstream.instance.identity
        self.figures.connected(identity, self.clock.seconds() - dial.since)
        arrival, retries = dial.arrival, len(dial.tried)
        if not self.mapping.timeouts.max_age:
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
        """Count, log and forget a dial that ended without an upstream."""
        self._open.discard(dial)
        self.figures.turned_away(ending.value)
        self._log.tell(dial.arrival, None, 0, 0, len(dial.tried), ending)
        self._over(dial.arrival)

    def dial_refused(self, upstream: Upstream) -> None:
        """Count an upstream that did not accept; the dial tries the next one."""
        self.figures.failed(upstream.instance.identity)

    def dial_starved(self) -> None:
        """Pause the listener: a dial got no descriptor or memory, and waits."""
        self.starved()

    def first_byte(self, seconds: float) -> None:
        """Count the seconds from accept to the upstream's first byte."""
        self.figures.first_byte.observe(seconds)

    @property
    def is_answered(self) -> bool:
        """Whether upstreams answer on more than a tenth of connections."""
        return self.figures.is_answered

    def relay_moved(self, relay: Relay, received: int, sent: int) -> None:
        """Count bytes that a relay moved since it last reported."""
        self.figures.moved(relay.lease.upstream.instance.identity, received, sent)

    def relay_over(self, relay: Relay, ending: Termination) -> None:
        """End the lease of a relay that closed; count and log the connection."""
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
        """A connection's age limit in seconds, random to spread the ends."""
        shortest = self.mapping.timeouts.max_age * (1 - _AGE_JITTER)
        latitude = 2 * _AGE_JITTER * self.mapping.timeouts.max_age
        # The sweeper is late by up to its interval.
        return shortest + self._chance() * max(0, latitude - self._age_sweeper.interval)

    def _over(self, arrival: Downstream) -> None:
        """Free the places of an admitted connection that ended."""
        if self._access_control is not None:
            self._access_control.left(arrival.address)
        self.room.leave()
        if self.line:
            self.line.advance()
        self.ended()
