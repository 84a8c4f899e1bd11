"""One end of a relay: a socket, and what is read from it goes to the other one.

It is registered with the poller itself.  No protocol, no transport and no
Deferred stands between `recv` on the one and `send` on the other: that halves
the cost of a request.
"""

import errno
import socket
from typing import Protocol

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.net.poller import Poller
from lbconsul.net.sockets import queued
from lbconsul.net.splice import Pipe, Pipes

#: What one read takes at most, in bytes, and so all that we ever hold of one
#: direction: with what is round it, less than 64 KiB.  HAProxy holds 16 KiB;
#: this needs a quarter of the system calls.
READ_SIZE = 61440

#: A move through a pipe that brought so many bytes shows that bulk goes on.
_BULK = 16384

#: So many moves that brought less may follow before it is over: an answer of
#: 64 KiB may come in several pieces.
_CREDIT = 16

#: A socket of a kind that cannot be spliced, or no memory for it: nothing is
#: lost, and the bytes can be copied.
_CANNOT_SPLICE = frozenset({errno.EINVAL, errno.ENOMEM, errno.EPERM})

# All relays read into the same memory: what cannot be sent on at once is
# copied out of it before anything else is read.
_BUFFER = bytearray(READ_SIZE)
_VIEW = memoryview(_BUFFER)


class RelayCallbacks(Protocol):
    """What an end needs of its relay."""

    #: Whether it has ended.
    over: bool

    @property
    def pipes(self) -> Pipes:
        """For what comes in bulk."""

    def begun(self, end: "RelaySide") -> None:
        """The first bytes came from the peer at `end`."""

    def done(self, last: "RelaySide") -> None:
        """Both ends have said all, this one after the other."""

    def half_over(self) -> None:
        """One direction is over and passed on as such."""

    def lost(self, end: "RelaySide") -> None:
        """The peer at `end` reset the connection or is gone."""


@implementer(IReadWriteDescriptor)
class RelaySide:
    """One socket of a relay: what is read from it goes to the other one."""

    __slots__ = (
        "at_end",
        "credit",
        "fileno",
        "moved",
        "other",
        "pending",
        "pipe",
        "poller",
        "recv_into",
        "relay",
        "send",
        "sock",
        "watched",
    )

    other: "RelaySide"

    def __init__(
        self, relay: RelayCallbacks, poller: Poller, sock: socket.socket
    ) -> None:
        self.relay = relay
        self.poller = poller
        #: The poller's.
        self.watched = 0
        self.sock = sock
        # Looked up once, since every byte passes them.
        self.fileno = sock.fileno
        self.recv_into = sock.recv_into
        self.send = sock.send
        #: Bytes read from this socket.
        self.moved = 0
        #: What is still to be sent to this socket, as bytes or in a pipe; while
        #: there is something, nothing is read from the other one.
        self.pending = b""
        self.pipe: Pipe | None = None
        #: While it is more than 0, what comes from this socket comes in bulk.
        self.credit = 0
        #: Whether this side has said all it will.
        self.at_end = False

    def doRead(self) -> None:
        """Pass on what there is.  Called by the poller."""
        if self.credit and (pipe := self.relay.pipes.lend()) is not None:
            self._move_through(pipe)
            return
        try:
            count = self.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self.relay.lost(self)
            return
        if not count:
            self._finish()
            return
        if not self.moved:
            self.relay.begun(self)
        self.moved += count
        try:
            sent = self.other.send(_VIEW[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.relay.lost(self.other)
            return
        if sent != count:
            self.other.pending = bytes(_VIEW[sent:count])
            self._hold()
        elif count == READ_SIZE:
            self.credit = _CREDIT

    def _move_through(self, pipe: Pipe) -> None:
        """Pass on what there is without looking at it."""
        try:
            count = pipe.fill(self.fileno())
        except BlockingIOError:
            self.relay.pipes.give_back(pipe)
            return
        except OSError as error:
            self.relay.pipes.give_back(pipe)
            if error.errno in _CANNOT_SPLICE:
                self.credit = 0
                self.doRead()
            else:
                self.relay.lost(self)
            return
        if not count:
            self.relay.pipes.give_back(pipe)
            self._finish()
            return
        self.moved += count
        self.credit = _CREDIT if count >= _BULK else self.credit - 1
        other = self.other
        other.pipe = pipe
        if not other.drained() and other.pipe is not None:
            self._hold()

    def _hold(self) -> None:
        """Read no more until the other one has taken what is read."""
        self.poller.removeReader(self)
        self.poller.addWriter(self.other)

    def drained(self) -> bool:
        """Send what is pending in the pipe; whether all of it went."""
        pipe = self.pipe
        assert pipe is not None
        try:
            pipe.drain(self.fileno())
        except BlockingIOError:
            return False
        except OSError:
            self.relay.lost(self)
            return False
        if pipe.held:
            return False
        self.pipe = None
        self.relay.pipes.give_back(pipe)
        return True

    def doWrite(self) -> None:
        """Send what is pending, then read on.  Called by the poller."""
        if self.pipe is not None:
            if self.drained():
                self._resume()
            return
        if not self.pending:
            return  # the relay ended in this turn of the reactor, by a doRead
        try:
            sent = self.send(self.pending)
        except BlockingIOError:
            return
        except OSError:
            self.relay.lost(self)
            return
        self.pending = self.pending[sent:]
        if not self.pending:
            self._resume()

    def _resume(self) -> None:
        """All was taken: the other one is read from again."""
        self.poller.removeWriter(self)
        self.poller.addReader(self.other)

    def _finish(self) -> None:
        """This side has said all; the other one is told soon, unless it has as well.

        Very often its own end is among the events that the poller holds: then
        both are closed, which tells them just as well.
        """
        self.at_end = True
        if self.other.at_end:
            self.relay.done(self)
        else:
            self.poller.later(self)

    def proceed(self) -> None:
        """Tell the other one that this side has said all.  Called by the poller."""
        if self.relay.over:
            return
        self.poller.removeReader(self)
        try:
            self.other.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.lost(self.other)
            return
        self.relay.half_over()

    def owed(self) -> int:
        """Bytes that were read for this socket and not yet sent to it."""
        return self.pipe.held if self.pipe else len(self.pending)

    def progress(self) -> int:
        """What was read from this socket, less what is under way to it.

        The sum over both ends grows with each byte that arrives at either peer.
        """
        return self.moved - self.owed() - queued(self.sock)

    def has_failed(self) -> bool:
        """Whether the peer is gone, though nothing is read or written."""
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def drop(self) -> None:
        """Let go of what is pending."""
        self.pending = b""
        if self.pipe is not None:
            self.relay.pipes.give_back(self.pipe)
            self.pipe = None

    def connectionLost(self, reason: Failure) -> None:
        """The poller saw an error on the socket, and has forgotten it."""
        if not self.relay.over:  # at its own end the reactor tells both ends
            self.relay.lost(self)

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "relay"
