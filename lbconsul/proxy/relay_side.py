"""One side of a relay: a stream whose bytes go to the other side.

The side itself is registered with the poller.  No protocol, transport or Deferred
stands between `recv` on one side and `send` on the other: that halves the cost of
a request.
"""

import socket
from contextlib import suppress
from typing import Protocol

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.net.poller import Poller
from lbconsul.net.sockets import queued
from lbconsul.net.splice import CANNOT_SPLICE, Pipe, Pipes
from lbconsul.net.stream import Stream
from lbconsul.stats.termination import Termination

#: Most bytes of one read, and hence the most that a copying relay holds of one
#: direction: less than 64 KiB with the object's overhead.  HAProxy holds 16 KiB; this
#: needs a quarter of the system calls.
READ_SIZE = 61440

#: A splice that moved this many bytes shows that a bulk transfer continues.
_BULK = 16384

#: Smaller splices in a row after which the relay copies again: an answer of 64 KiB
#: may come in several pieces.
_CREDIT = 16

_DONE = Termination.DONE

# All relays read into the same buffer: bytes that cannot be sent at once are copied
# out of it before the next read.
_BUFFER = bytearray(READ_SIZE)
_VIEW = memoryview(_BUFFER)


class FirstByteObserver(Protocol):
    """What is told that an upstream answers."""

    def on_first_byte(self) -> None:
        """The upstream's first byte arrived."""


class RelayCallbacks(Protocol):
    """What a side needs of its relay."""

    #: Whether the relay has ended.
    over: bool
    client: "RelaySide"
    upstream: "RelaySide"

    @property
    def user(self) -> FirstByteObserver:
        """What joined the streams."""

    @property
    def pipes(self) -> Pipes:
        """Pipes for splice(2), for bulk data."""

    def end(self, termination: Termination, *, by_upstream: bool) -> None:
        """Close both streams; the upstream ended them if `by_upstream`."""

    def on_half_closed(self) -> None:
        """One direction is over, and its end was passed on."""

    def on_lost(self, end: "RelaySide") -> None:
        """The peer of `end` reset the connection or is gone."""


@implementer(IReadWriteDescriptor)
class RelaySide:
    """One stream of a relay: sends what it reads to the other side.

    The relay sets the attributes of both its sides.
    """

    __slots__ = (
        "at_end",
        "credit",
        "moved",
        "other",
        "pending",
        "pipe",
        "poller",
        "relay",
        "stream",
        "watched",
    )

    relay: RelayCallbacks
    poller: Poller
    stream: Stream
    other: "RelaySide"
    #: Events watched; only the poller changes it.
    watched: int
    #: Bytes read from this stream.
    moved: int
    #: What is still to be sent to this stream, as bytes or in a pipe; until it is
    #: sent, the other side is not read.
    pending: bytes
    pipe: Pipe | None
    #: Splices left before this side copies again; 0: it copies.
    credit: int
    #: Whether this side's peer has ended its direction.
    at_end: bool

    def fileno(self) -> int:
        """The stream's descriptor, for a reactor."""
        return self.stream.fileno()

    def doRead(self) -> None:
        """Read, and send to the other side.  Called by the poller."""
        if self.credit and (pipe := self.relay.pipes.lend()) is not None:
            self._move_through(pipe)
            return
        try:
            count = self.stream.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self.relay.on_lost(self)
            return
        if not count:
            self.at_end = True
            if self.other.at_end:
                # The client's own end came last if the upstream had ended before.
                self.relay.end(_DONE, by_upstream=self is self.relay.client)
            else:
                # Often the other side's end is among the poller's events, too: then
                # closing both streams saves the shutdown.
                self.poller.later(self)
            return
        if not self.moved and self is self.relay.upstream:
            self.relay.user.on_first_byte()
        self.moved += count
        try:
            sent = self.other.stream.send(_VIEW[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.relay.on_lost(self.other)
            return
        if sent != count:
            self.other.pending = bytes(_VIEW[sent:count])
            self._hold()
        elif count == READ_SIZE:
            self.credit = _CREDIT

    def _move_through(self, pipe: Pipe) -> None:
        """Splice what is readable to the other side through a pipe."""
        try:
            count = pipe.fill(self.stream.fileno())
        except BlockingIOError:
            self.relay.pipes.give_back(pipe)
            return
        except OSError as error:
            self.relay.pipes.give_back(pipe)
            if error.errno in CANNOT_SPLICE:
                self.credit = 0
                self.doRead()
            else:
                self.relay.on_lost(self)
            return
        if not count:
            self.relay.pipes.give_back(pipe)
            self.credit = 0
            self.doRead()  # which finds the end
            return
        self.moved += count
        self.credit = _CREDIT if count >= _BULK else self.credit - 1
        other = self.other
        other.pipe = pipe
        if not other.drained() and other.pipe is not None:
            self._hold()

    def _hold(self) -> None:
        """Stop reading until the other side has sent what is pending."""
        self.poller.removeReader(self)
        self.poller.addWriter(self.other)

    def drained(self) -> bool:
        """Send what is pending in the pipe; returns whether all of it was sent."""
        pipe = self.pipe
        assert pipe is not None
        try:
            pipe.drain(self.stream.fileno())
        except BlockingIOError:
            return False
        except OSError:
            self.relay.on_lost(self)
            return False
        if pipe.held:
            return False
        self.pipe = None
        self.relay.pipes.give_back(pipe)
        return True

    def doWrite(self) -> None:
        """Send what is pending, then resume reading.  Called by the poller."""
        if self.pipe is not None:
            if self.drained():
                self._resume()
            return
        if not self.pending:
            return  # the relay ended in this turn of the reactor, by a doRead
        try:
            sent = self.stream.send(self.pending)
        except BlockingIOError:
            return
        except OSError:
            self.relay.on_lost(self)
            return
        self.pending = self.pending[sent:]
        if not self.pending:
            self._resume()

    def _resume(self) -> None:
        """Read from the other side again: all that was pending is sent."""
        self.poller.removeWriter(self)
        self.poller.addReader(self.other)

    def proceed(self) -> None:
        """Shut down the other stream's sending side.  Called by the poller."""
        if self.relay.over:
            return
        self.poller.removeReader(self)
        try:
            self.other.stream.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.on_lost(self.other)
            return
        self.relay.on_half_closed()

    def pass_on_rest(self) -> None:
        """Send on what has arrived, as far as there is room: this side has failed."""
        with suppress(OSError):
            while not self.other.owed():
                count = self.stream.recv_into(_BUFFER)
                if not count:
                    return
                if not self.moved and self is self.relay.upstream:
                    self.relay.user.on_first_byte()
                self.moved += count
                sent = self.other.stream.send(_VIEW[:count])
                self.other.pending = bytes(_VIEW[sent:count])

    def owed(self) -> int:
        """Bytes read for this stream and not yet sent to it."""
        return self.pipe.held if self.pipe else len(self.pending)

    def progress(self) -> int:
        """Bytes read from this stream, less those under way to it.

        The sum over both sides grows with each byte that arrives at either peer.
        """
        return self.moved - self.owed() - queued(self.stream)

    def has_failed(self) -> bool:
        """Whether the stream has an error pending, without a read or write."""
        return bool(self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def drop(self) -> None:
        """Discard what is pending."""
        self.pending = b""
        if self.pipe is not None:
            self.relay.pipes.give_back(self.pipe)
            self.pipe = None

    def connectionLost(self, reason: Failure) -> None:
        """The stream failed, a callback raised, or the reactor stopped."""
        if not self.relay.over:  # at its own stop the reactor calls both sides
            self.relay.on_lost(self)

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "relay"
