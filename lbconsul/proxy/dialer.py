"""Find an upstream that accepts: connect without blocking, try the next on failure.

Nothing has been read from the client yet, so trying again is always safe.
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
    """What a dial needs from whoever made it."""

    poller: Poller
    clock: IReactorTime
    #: How many upstreams to try in one pool.
    attempts: int
    connect_timeout: float
    #: How long to wait, in seconds, while all upstreams are full; and where there
    #: is none at all.
    queue_timeout: float
    empty_timeout: float
    line: WaitQueue
    dial_sweeper: Sweeper

    def lease(self, avoiding: Collection[Upstream], attempts: int) -> Lease:
        """The next upstream to try, after at most so many in one pool.

        :raises AllFull: it has to wait until one has room.
        :raises NoUpstream: there is none.
        """

    def dial_answered(self, dial: "DialAttempt", upstream: socket.socket) -> None:
        """An upstream accepted: here is the socket, and the lease is `dial.lease`."""

    def dial_failed(self, dial: "DialAttempt", ending: Termination) -> None:
        """No upstream was found; the client's socket is closed."""

    def dial_refused(self, upstream: Upstream) -> None:
        """An upstream refused, or did not answer; the next one is tried."""

    def dial_starved(self) -> None:
        """There is no descriptor or port for a dial: let no more clients in."""


@implementer(IWriteDescriptor)
class DialAttempt:
    """One client's search for an upstream."""

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
        #: Where the present attempt goes to.
        self._address = ""
        #: The poller's.
        self.watched = 0
        #: Whether the poller is to tell when the attempt is decided.
        self._waiting = False
        #: Until when it waits in line for an upstream, if it does, and why it
        #: ends then.
        self._until: float | None = None
        self._overdue = Termination.REFUSED
        #: When the present attempt began.
        self.since = arrival.time
        self.arrival = arrival
        self.attempts = owner.attempts
        self.lease: Lease | None = None
        #: Whether it has an upstream, or has given up.
        self.over = False
        #: The upstreams that did not accept; one with several addresses maybe at more
        #: than one of them.
        self.tried: list[Upstream] = []

    def start(self, failing: Termination = Termination.REFUSED) -> None:
        """Try the next upstream; `failing` is why the last one was not to be had."""
        owner = self._owner
        if owner.line:  # whose turn is before ours
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
        """Wait for an upstream; `overdue` is how it ends if there is none in time."""
        owner = self._owner
        if not owner.line.join(self):
            full = overdue is Termination.QUEUE_TIMEOUT
            self.end(Termination.QUEUE_FULL if full else overdue)
            return
        self._until = owner.clock.seconds() + timeout
        self._overdue = overdue
        owner.dial_sweeper.add(self)

    def proceed(self) -> bool:
        """Go on if there is an upstream now; whether there was.  The queue calls it."""
        try:
            return self._proceed()
        except Exception:
            # A bug of ours: let it be known, but leak nothing.
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
        """The next upstream: one that was not tried, else another address of one."""
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
        """One that refused before we waited, and has accepted others since."""
        failing = [each for each in self.tried if each.is_failing]
        if len(failing) == len(self.tried) or len(self.tried) >= self.attempts:
            return None
        with suppress(NoUpstream):
            return self._owner.lease(failing, self.attempts)
        return None

    def _has_more(self, upstream: Upstream) -> bool:
        """Whether it has addresses that were not tried."""
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
        """Let the poller tell when the attempt is decided."""
        try:
            self._owner.poller.addWriter(self)
        except OSError as error:
            self._failed(error.errno or 0)
            return
        self._waiting = True
        self._owner.dial_sweeper.add(self)

    def fileno(self) -> int:
        """Called by the reactor."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "dial"

    def doWrite(self) -> None:
        """The attempt is decided.  Called by the reactor."""
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(code)
        else:
            self._answered()

    def connectionLost(self, reason: Failure) -> None:
        """The attempt failed; or the poller is at its end, or we have a bug."""
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
        """Look at the time and at the client.  Called by the sweeper."""
        if self.over:
            return  # in this very round: another one's end let it go on
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
            # No upstream is to be had with it: the sweeper tries again, until the
            # time for one attempt is over.
            self._hang_up()
            self._owner.dial_sweeper.add(self)
            self._owner.dial_starved()
        elif code == errno.EADDRNOTAVAIL:
            # No local port is left for this upstream, or no address of its
            # family: another one may be had.
            self._next(Termination.STARVED)
        else:
            self._next(Termination.REFUSED)

    def _next(self, failing: Termination) -> None:
        self._hang_up()
        assert self.lease is not None
        upstream = self.lease.upstream
        self.tried.append(upstream)
        # A probe, which only the first one can be, is our wish: it costs the client
        # none of its attempts.  An ejected one that is a last resort does.
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
            # A bug of ours: let it be known, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    def _may_stay(self, upstream: Upstream, failing: Termination) -> bool:
        """Whether another address of the same upstream is to be tried at once.

        The last attempt is another upstream's, if there is one, and so is the next one
        after a timeout: where one address is silent the others may be, too.
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
        """Leave the reactor and the sweeper, before the socket goes elsewhere."""
        if self._waiting:
            self._waiting = False
            self._owner.poller.removeWriter(self)
        self._owner.dial_sweeper.discard(self)
        self._sock = None

    def end(self, ending: Termination) -> None:
        """Give up, once: close all there is."""
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
