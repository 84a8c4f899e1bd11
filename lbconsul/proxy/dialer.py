"""Finds an upstream that accepts: connects without blocking, retries on failure.

Nothing was read from the client yet, which makes a retry always safe.
"""

import errno
import socket
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import AllFull, NoUpstream
from lbconsul.net.connect import connect, has_left
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import STARVED
from lbconsul.net.sweeper import Sweeper
from lbconsul.proxy.relay import Downstream
from lbconsul.proxy.wait_queue import WaitQueue
from lbconsul.stats.termination import Termination

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


class DialOwner(Protocol):
    """What a dial needs of its owner, the `MappingProxy`."""

    poller: Poller
    clock: IReactorTime
    #: Most upstreams to try in one pool.
    attempts: int
    connect_timeout: float
    #: How long to wait, in seconds, while all upstreams are full, and while there
    #: is no upstream at all.
    queue_timeout: float
    empty_timeout: float
    line: WaitQueue
    dial_sweeper: Sweeper

    def lease(self, avoiding: Collection[Upstream], attempts: int) -> Lease:
        """Lease the next upstream to try, outside `avoiding`.

        After `attempts` upstreams of one pool the next pool's turn has come.

        :raises AllFull: every upstream left has as many connections as it may.
        :raises NoUpstream: no upstream is left to try.
        """

    def dial_answered(self, dial: "DialAttempt", upstream: socket.socket) -> None:
        """Take over the socket of an upstream that accepted, leased by `dial.lease`."""

    def dial_failed(self, dial: "DialAttempt", ending: Termination) -> None:
        """Count a dial that ended without an upstream; the client is closed."""

    def dial_refused(self, upstream: Upstream) -> None:
        """Count a failed connect to an upstream; the dial tries the next one."""

    def dial_starved(self) -> None:
        """Stop accepting: descriptors or memory ran out."""


@implementer(IWriteDescriptor)
class DialAttempt:
    """One client's dial: leases and connects until an upstream accepts."""

    __slots__ = (
        "_address",
        "_overdue",
        "_owner",
        "_sock",
        "_until",
        "_waiting",
        "arrival",
        "attempts",
        "lease",
        "over",
        "since",
        "tried",
        "watched",
    )

    def __init__(self, owner: DialOwner, arrival: Downstream) -> None:
        self._owner = owner
        self._sock: socket.socket | None = None
        #: The address of the current attempt.
        self._address = ""
        #: Events watched; only the poller changes it.
        self.watched = 0
        #: Whether the poller watches the current attempt.
        self._waiting = False
        #: The deadline in the wait queue, if the dial is queued, and the
        #: termination at that deadline.
        self._until: float | None = None
        self._overdue = Termination.REFUSED
        #: When the current attempt began.
        self.since = arrival.time
        self.arrival = arrival
        self.attempts = owner.attempts
        self.lease: Lease | None = None
        #: Whether the dial has connected or given up.
        self.over = False
        #: The upstreams that did not accept, once for each address that was tried.
        self.tried: list[Upstream] = []

    def start(self, failing: Termination = Termination.REFUSED) -> None:
        """Try the next upstream; `failing` is how the last attempt failed."""
        owner = self._owner
        if owner.line:  # dials that wait go first
            owner.line.advance()
        try:
            if self.tried:
                self.lease = self._lease()
            else:
                self.lease = owner.lease((), self.attempts)
        except AllFull:
            self._queue_up(owner.queue_timeout, Termination.QUEUE_TIMEOUT)
        except NoUpstream:
            if self.tried or not owner.empty_timeout:
                self.end(failing)
            else:
                self._queue_up(owner.empty_timeout, Termination.REFUSED)
        else:
            if self.tried:
                self.since = owner.clock.seconds()
            self._connect(self.lease.upstream)

    def _queue_up(self, timeout: float, overdue: Termination) -> None:
        """Wait for an upstream; `overdue` is the termination at the timeout."""
        owner = self._owner
        if not owner.line.join(self):
            full = overdue is Termination.QUEUE_TIMEOUT
            self.end(Termination.QUEUE_FULL if full else overdue)
            return
        self._until = owner.clock.seconds() + timeout
        self._overdue = overdue
        owner.dial_sweeper.add(self)

    def proceed(self) -> bool:
        """Dial if an upstream is free; returns whether one was.  For the wait queue."""
        try:
            return self._proceed()
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    def _proceed(self) -> bool:
        owner = self._owner
        try:
            self.lease = self._lease()
        except NoUpstream:
            self.lease = self._lease_of_recovered()
            if self.lease is None:
                return False
        owner.line.leave(self)  # before it may have to queue up again
        self._until = None
        self.since = owner.clock.seconds()
        self._connect(self.lease.upstream)
        return True

    def _lease(self) -> Lease:
        """Lease an untried upstream, else one that has an untried address."""
        owner, tried = self._owner, self.tried
        try:
            return owner.lease(tried, self.attempts)
        except NoUpstream:
            spent = [each for each in tried if not self._has_more(each)]
            if len(spent) == len(tried) or len(tried) >= self.attempts:
                raise
            with suppress(NoUpstream):
                return owner.lease(spent, self.attempts)
            raise

    def _lease_of_recovered(self) -> Lease | None:
        """Lease an upstream that refused before the wait and accepts again by now."""
        failing = [each for each in self.tried if each.is_failing]
        if len(failing) == len(self.tried) or len(self.tried) >= self.attempts:
            return None
        with suppress(NoUpstream):
            return self._owner.lease(failing, self.attempts)
        return None

    def _has_more(self, upstream: Upstream) -> bool:
        """Whether the upstream has untried addresses."""
        return self.tried.count(upstream) <= len(upstream.instance.alternates)

    def _connect(self, upstream: Upstream) -> None:
        instance = upstream.instance
        self._address = instance.address
        self._sock, code = connect(instance.address, instance.port)
        if code in _IN_PROGRESS:
            self._wait()
        elif code:
            self._failed(code)
        else:
            self._answered()

    def _wait(self) -> None:
        """Watch the socket until the connect completes or fails."""
        try:
            self._owner.poller.addWriter(self)
        except OSError as error:
            self._failed(error.errno or 0)
            return
        self._waiting = True
        self._owner.dial_sweeper.add(self)

    def fileno(self) -> int:
        """The socket's descriptor, for the poller."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "dial"

    def doWrite(self) -> None:
        """The connect completed or failed.  Called by the poller."""
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(code)
        else:
            self._answered()

    def connectionLost(self, reason: Failure) -> None:
        """The attempt failed, a callback raised, or the reactor stopped."""
        if self.over:
            return
        if reason.check(ConnectionLost):
            sock, code = self._sock, errno.ECONNREFUSED
            if sock is not None:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or code
            self._failed(code)
        else:
            ended = reason.check(ConnectionDone)
            self.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def inspect(self, now: float) -> None:
        """Check timeouts and whether the client left.  Called by the sweeper."""
        if self.over:
            return  # in this round: the end of another dial let this one connect
        if has_left(self.arrival.client):
            waits = self._until is not None
            self.end(Termination.QUEUE_LEFT if waits else Termination.CLIENT_LEFT)
        elif self._until is not None:
            if now >= self._until:
                self.end(self._overdue)
        elif now - self.since >= self._owner.connect_timeout:
            if self._sock is None:
                self.end(Termination.STARVED)
            else:
                self._next(Termination.CONNECT_TIMEOUT)
        elif self._sock is None and self.lease is not None:
            self._connect(self.lease.upstream)

    def _answered(self) -> None:
        sock = self._sock
        assert sock is not None
        self._forget()
        self.over = True
        assert self.lease is not None
        self.lease.showed(Outcome.CONNECTED)
        self._owner.dial_answered(self, sock)

    def _failed(self, code: int) -> None:
        if code in STARVED:
            # Another upstream needs the same: the sweeper retries this one until the
            # connect timeout.
            self._hang_up()
            self._owner.dial_sweeper.add(self)
            self._owner.dial_starved()
        elif code == errno.EADDRNOTAVAIL:
            # No local port is left for this upstream, or no local address of its
            # family: another upstream may work.
            self._next(Termination.STARVED)
        else:
            self._next(Termination.REFUSED)

    def _next(self, failing: Termination) -> None:
        self._hang_up()
        assert self.lease is not None
        upstream = self.lease.upstream
        self.tried.append(upstream)
        # A probe, which only the first attempt can be, costs the client none of its
        # attempts.  An ejected upstream that is a last resort does.
        is_first = self.tried.count(upstream) == len(self.tried)
        self.attempts += is_first and self.lease.on_trial
        failed = upstream.failed_at(self._address)
        if failing is not Termination.STARVED:
            if failed:
                self.lease.showed(Outcome.REFUSED)
            self._owner.dial_refused(upstream)
        try:
            if upstream.instance.alternates and self._may_stay(upstream, failing):
                self.since = self._owner.clock.seconds()
                self._connect(upstream)
                return
            self.lease.end()
            self.start(failing)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    def _may_stay(self, upstream: Upstream, failing: Termination) -> bool:
        """Whether to try another address of the same upstream at once.

        The last attempt goes to another upstream, if there is one.  So does the next
        one after a timeout: if one address is silent, the others may be as well.
        """
        left = self.attempts - len(self.tried)
        silent = failing is Termination.CONNECT_TIMEOUT
        return left > 1 and not silent and self._has_more(upstream)

    def _hang_up(self) -> None:
        sock = self._sock
        self._forget()
        if sock is not None:
            sock.close()

    def _forget(self) -> None:
        """Leave the poller and the sweeper, before the socket is closed or relayed."""
        if self._waiting:
            self._waiting = False
            self._owner.poller.removeWriter(self)
        self._owner.dial_sweeper.discard(self)
        self._sock = None

    def end(self, ending: Termination) -> None:
        """Give up: close both sockets and end the lease.  Later calls do nothing."""
        if self.over:
            return
        self.over = True
        if self._until is not None:
            self._owner.line.leave(self)
        if self.lease is not None:
            self.lease.end()
        self.arrival.client.close()
        self._hang_up()
        self._owner.dial_failed(self, ending)
