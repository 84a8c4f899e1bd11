"""Finds an upstream that accepts: connects without blocking, retries on failure.

A dialer knows no client.  Its user reads nothing from the client before the upstream
accepts, which makes a retry always safe.
"""

import errno
import os
import socket
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Protocol

from attrs import define
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.failover import Failover
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import AllFull, NoUpstream
from lbconsul.net.connect import connect
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import STARVED, BareSocket
from lbconsul.net.stream import Stream
from lbconsul.proxy.retry import lease_next, lease_recovered, may_stay
from lbconsul.proxy.wait_queue import WaitQueue
from lbconsul.stats.causes import cause_of
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


class DialUser(Protocol):
    """What needs an upstream, such as a session.

    The dial calls either `on_connected` or `on_failed`, once, and nothing after
    `DialAttempt.cancel`.
    """

    def on_connected(self, upstream: Stream) -> None:
        """An upstream accepted: the user takes over its stream and the lease."""

    def on_failed(self, termination: Termination) -> None:
        """The dial gave up; it has no socket and no lease any more."""

    def on_starved(self) -> None:
        """Descriptors or memory ran out; `DialAttempt.check` tries again."""


@define(eq=False)
class Dialer:
    """What the dials of one mapping share.  Times are in seconds."""

    poller: Poller
    clock: IReactorTime
    #: The pools to lease upstreams from, by priority.
    failover: Failover
    wait_queue: WaitQueue
    stats: MappingStats
    #: Most upstreams to try in one pool.
    attempts: int
    connect_timeout: float
    #: How long to wait while all upstreams are full, and while there is no upstream
    #: at all.
    queue_timeout: float
    empty_timeout: float
    #: Whether a connect is not all: a PROXY header or TLS comes before any byte.
    has_handshake: bool = False
    #: Whether it is known which upstreams there are, and how long to wait for that.
    is_answered: Callable[[], bool] = lambda: True
    answer_due: float = 0.0

    @property
    def patience(self) -> float:
        """How long a dial waits while there is no upstream at all.

        Listeners are held back until Consul's first answer, but a client that was
        accepted before a reload may be the first on a route that the reload added.
        """
        if self.empty_timeout or self.is_answered():
            return self.empty_timeout
        return max(0.0, self.answer_due - self.clock.seconds())

    def lease(self, key: HashKey | None = None) -> Lease | None:
        """Lease an upstream; None if other dials wait, or none is free."""
        if self.wait_queue.queues:
            return None
        try:
            return self.failover.lease((), self.attempts, key)
        except NoUpstream:
            return None

    def begin(
        self, key: HashKey | None = None
    ) -> tuple[Lease, BareSocket | None, int] | None:
        """Lease an upstream and begin to connect to it, as `connect` does.

        If the connect is not over, the rest is for `DialAttempt.go_on`; for None, for
        `DialAttempt.start`: other dials wait, no upstream is free, or a handshake
        follows.
        """
        if self.wait_queue.queues or self.has_handshake:
            return None
        try:
            lease = self.failover.lease((), self.attempts, key)
        except NoUpstream:
            return None
        sock = None
        try:
            instance = lease.upstream.instance
            sock, code = connect(instance.address, instance.port)
            if not code and lease.upstream.record is not None:
                lease.showed(Outcome.CONNECTED)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            lease.end()
            if sock is not None:
                sock.close()
            raise
        return lease, sock, code


class OwnInstance(Protocol):
    """The one instance that a client comes to."""

    @property
    def identity(self) -> Identity:
        """Which one it is."""

    def lease(self, now: float) -> Lease | None:
        """A lease on it; None if it gets no requests any more.

        :raises AllFull: it is at its connection limit.
        """


class DialState(Enum):
    """What a dial does between two calls from outside."""

    #: It chooses an upstream; a dial that has not started does nothing yet.
    CHOOSING = auto()
    #: The poller watches the socket of the current attempt.
    CONNECTING = auto()
    #: It has connected, and sends a PROXY header or is in the TLS handshake.
    HANDSHAKING = auto()
    #: It waits for a free upstream, since all are full.
    QUEUED = auto()
    #: It waits for any upstream, since there is none.
    AWAITING = auto()
    #: It has a lease, but no descriptor or memory to connect with.
    STARVED = auto()
    #: It has connected, failed or been cancelled.
    OVER = auto()


# Bound once: to read a member from its class takes 0.2 us in Python 3.11.
_CHOOSING, _CONNECTING, _HANDSHAKING, _QUEUED, _AWAITING, _STARVED, _OVER = DialState


@implementer(IWriteDescriptor)
class DialAttempt:
    """One dial: leases and connects until an upstream accepts.

    While it is not over, its user calls `check` a few times a second.
    """

    __slots__ = (
        "_address",
        "_attempts",
        "_deadline",
        "_dialer",
        "_user",
        "error",
        "is_reused",
        "key",
        "lease",
        "own",
        "reuse",
        "since",
        "state",
        "stream",
        "tried",
        "watched",
    )

    def __init__(self, dialer: Dialer, user: DialUser, since: float) -> None:
        self._dialer = dialer
        self._user = user
        self.state = _CHOOSING
        #: The socket of the current attempt, which the poller watches, or TLS on it.
        self.stream: Stream | None = None
        #: The address of the current attempt.
        self._address = ""
        #: Events watched; only the poller changes it.
        self.watched = 0
        #: When the wait ends, while QUEUED or AWAITING.
        self._deadline = 0.0
        #: When the current attempt began.
        self.since = since
        self._attempts = dialer.attempts
        self.lease: Lease | None = None
        #: What the policy may choose by.
        self.key: HashKey | None = None
        #: The instance that the client comes to, for which it waits while that is full.
        self.own: OwnInstance | None = None
        #: The upstreams that did not accept, once for each address that was tried.
        self.tried: list[Upstream] = []
        #: Why the last one of them did not.
        self.error = ""
        #: Gives a stream to an upstream that was left by another user, if there is one;
        #: and whether the stream is such a one.
        self.reuse: Callable[[Upstream], Stream | None] | None = None
        self.is_reused = False

    def start(self, failing: Termination = Termination.REFUSED) -> None:
        """Try the next upstream; `failing` is how the last attempt failed."""
        dialer = self._dialer
        if dialer.wait_queue.queues:  # dials that wait go first
            dialer.wait_queue.dispatch()
        try:
            if self.tried:
                self.own = None  # it does not accept
                self.lease = lease_next(
                    dialer.failover, self.tried, self._attempts, self.key
                )
            elif self.own is not None:
                self.lease = self._lease_own(self.own)
            else:
                self.lease = dialer.failover.lease((), self._attempts, self.key)
        except AllFull:
            self._queue_up(_QUEUED, dialer.queue_timeout)
        except NoUpstream:
            patience = 0.0 if self.tried else dialer.patience
            if patience:
                self._queue_up(_AWAITING, patience)
            else:
                self._fail(failing)
        else:
            if self.tried:
                self.since = dialer.clock.seconds()
            self._connect(self.lease.upstream)

    def _lease_own(self, own: "OwnInstance") -> Lease:
        """Lease the client's own instance, or another one if it gets none there.

        :raises AllFull: it has to wait.
        :raises NoUpstream: there is none.
        """
        lease = own.lease(self._dialer.clock.seconds())
        if lease is not None:
            return lease
        self.own = None
        return self._dialer.failover.lease((), self._attempts, self.key)

    def connect_to(self, lease: Lease) -> None:
        """Try the upstream of this lease first."""
        self.lease = lease
        try:
            self._connect(lease.upstream)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self._fail(Termination.INTERNAL)
            raise

    def go_on(self, lease: Lease, sock: BareSocket | None, code: int) -> None:
        """Go on with a connect that `Dialer.begin` began."""
        self.lease, self.stream = lease, sock
        self._address = lease.upstream.instance.address
        self._decide(code)

    def _queue_up(self, state: DialState, timeout: float) -> None:
        """Wait for an upstream, QUEUED or AWAITING."""
        dialer = self._dialer
        if not dialer.wait_queue.join(self):
            is_full = state is _QUEUED
            self._fail(Termination.QUEUE_FULL if is_full else Termination.REFUSED)
            return
        self.state = state
        self._deadline = dialer.clock.seconds() + timeout

    def try_dial(self) -> bool:
        """Dial if an upstream is free; returns whether one was.  For the wait queue."""
        try:
            return self._try_dial()
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self._fail(Termination.INTERNAL)
            raise

    def _try_dial(self) -> bool:
        dialer, tried, attempts = self._dialer, self.tried, self._attempts
        try:
            if self.own is not None:
                self.lease = self.own.lease(dialer.clock.seconds())
            else:
                self.lease = lease_next(dialer.failover, tried, attempts, self.key)
        except NoUpstream:
            if self.own is None:
                self.lease = lease_recovered(dialer.failover, tried, attempts)
            if self.lease is None:
                return False
        dialer.wait_queue.leave(self)  # before it may have to queue up again
        if self.lease is None:  # its own instance gets no requests any more
            self.own = None
            self.state = _CHOOSING
            self.start()
            return True
        self.state = _CHOOSING
        self.since = dialer.clock.seconds()
        self._connect(self.lease.upstream)
        return True

    def _connect(self, upstream: Upstream) -> None:
        if self.reuse is not None and (kept := self.reuse(upstream)) is not None:
            self.is_reused = True
            self._leave_poller(_OVER)
            self._user.on_connected(kept)
            return
        instance = upstream.instance
        self._address = instance.address
        self.stream, code = connect(instance.address, instance.port)
        self._decide(code)

    def _decide(self, code: int) -> None:
        if code not in _IN_PROGRESS:
            if code:
                self._failed(code)
            else:
                self._answered()
            return
        # The poller tells when the connect completes or fails.
        try:
            self._dialer.poller.addWriter(self)
        except OSError as error:
            self._failed(error.errno or 0)
            return
        self.state = _CONNECTING

    def fileno(self) -> int:
        """The socket's descriptor, for a reactor."""
        return -1 if self.stream is None else self.stream.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "dial"

    def doWrite(self) -> None:
        """The connect completed or failed.  Called by the poller."""
        assert self.stream is not None
        code = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(code)
        else:
            self._answered()

    def connectionLost(self, reason: Failure) -> None:
        """The attempt failed, a callback raised, or the reactor stopped."""
        if self.state is _OVER:
            return
        if reason.check(ConnectionLost):
            sock, code = self.stream, errno.ECONNREFUSED
            if sock is not None:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or code
            self._failed(code)
        else:
            ended = reason.check(ConnectionDone)
            self._fail(Termination.HARD_STOP if ended else Termination.INTERNAL)

    @property
    def waits_for(self) -> Collection[object]:
        """What it waits for: its own instance, or any but those that were tried."""
        return frozenset(self.tried) if self.own is None else self.own.identity

    @property
    def is_waiting(self) -> bool:
        """Whether the dial waits for an upstream that it may connect to."""
        return self.state is _QUEUED or self.state is _AWAITING

    def check(self, now: float) -> None:
        """Check the time limits, and try again after a shortage."""
        state, timeout = self.state, self._dialer.connect_timeout
        if self.is_waiting:
            if now >= self._deadline:
                was_full = state is _QUEUED
                self._fail(
                    Termination.QUEUE_TIMEOUT if was_full else Termination.REFUSED
                )
            elif state is _AWAITING and not self._dialer.patience:
                self._begin_anew()
        elif state is _CONNECTING:
            if now - self.since >= timeout:
                self._next(Termination.CONNECT_TIMEOUT)
        elif state is _STARVED:
            if now - self.since >= timeout:
                self._fail(Termination.STARVED)
            else:
                assert self.lease is not None
                self._connect(self.lease.upstream)

    def _begin_anew(self) -> None:
        """Consul has answered: there is an upstream, or there is none."""
        self._dialer.wait_queue.leave(self)
        self.state = _CHOOSING
        try:
            self.start()
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self._fail(Termination.INTERNAL)
            raise

    def _answered(self) -> None:
        sock = self.stream
        assert sock is not None
        self._leave_poller(_OVER)
        assert self.lease is not None
        if self.lease.upstream.record is not None:
            self.lease.showed(Outcome.CONNECTED)
        self._user.on_connected(sock)

    def _failed(self, code: int) -> None:
        if code in STARVED:
            # Another upstream needs the same: `check` retries this one until the
            # connect timeout.
            self._hang_up(_STARVED)
            self._user.on_starved()
        elif code == errno.EADDRNOTAVAIL:
            # No local port is left for this upstream, or no local address of its
            # family: another upstream may work.
            self._next(Termination.STARVED, os.strerror(code))
        else:
            self._next(Termination.REFUSED, os.strerror(code))

    def _next(self, failing: Termination, error: str = "") -> None:
        """Try another upstream, or this one again: its attempt failed."""
        self.error = error or cause_of(failing.code)
        self._hang_up(_CHOOSING)
        assert self.lease is not None
        upstream = self.lease.upstream
        self.tried.append(upstream)
        # A probe, which only the first attempt can be, costs the user none of its
        # attempts.  An ejected upstream that is a last resort does.
        is_first = self.tried.count(upstream) == len(self.tried)
        self._attempts += is_first and self.lease.probing
        failed = upstream.failed_at(self._address)
        if failing is not Termination.STARVED:
            if failed:
                self.lease.showed(Outcome.REFUSED)
            dialer = self._dialer
            dialer.stats.failed(
                upstream.instance.identity, dialer.clock.seconds(), self.error
            )
        silent = failing is Termination.CONNECT_TIMEOUT
        try:
            if may_stay(upstream, self.tried, self._attempts, silent=silent):
                self.since = self._dialer.clock.seconds()
                self._connect(upstream)
                return
            self.lease.end()
            self.start(failing)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self._fail(Termination.INTERNAL)
            raise

    def _hang_up(self, state: DialState) -> None:
        sock = self.stream
        self._leave_poller(state)
        if sock is not None:
            sock.close()

    def _leave_poller(self, state: DialState) -> None:
        """Change the state, before the socket is closed or handed to the user."""
        if self.state is _CONNECTING:
            self._dialer.poller.removeWriter(self)
        self.state = state
        self.stream = None

    def _fail(self, termination: Termination) -> None:
        if self.state is not _OVER:
            self.cancel()
            self._user.on_failed(termination)

    def cancel(self) -> None:
        """Close the socket and end the lease.  Later calls do nothing."""
        if self.state is _OVER:
            return
        if self.is_waiting:
            self._dialer.wait_queue.leave(self)
        if self.lease is not None:
            self.lease.end()
        self._hang_up(_OVER)
