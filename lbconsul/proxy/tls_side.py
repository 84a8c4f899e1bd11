"""One side of a relay in which a stream is TLS.

Unlike a plain socket's, a read of TLS may have to wait until the socket can be written
and a write until it can be read: a key update (RFC 8446, section 4.6.3) is answered
while data is read.  And the end of a direction, close_notify, is a record that must
fit into the socket.
"""

import socket

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from lbconsul.proxy.relay_side import RelaySide
from lbconsul.tls.stream import TLSStream


@implementer(IReadWriteDescriptor)
class TLSSide(RelaySide):
    """One stream of a relay, TLS or beside one that is: sends what it reads on.

    `TLSRelay` sets the attributes of both its sides.
    """

    __slots__ = (
        "is_ending",
        "read_wants_write",
        "stops_reading",
        "tls",
        "write_wants_read",
    )

    other: "TLSSide"
    #: The stream, if it is TLS.
    tls: TLSStream | None
    #: Whether the last read waits until the socket can be written, and the last write
    #: until it can be read.
    read_wants_write: bool
    write_wants_read: bool
    #: Whether close_notify is still to be sent to this stream.
    is_ending: bool
    #: Whether what this stream's peer sends is not wanted any more.
    stops_reading: bool

    def doRead(self) -> None:
        """Do what waits until the socket can be read.  Called by the poller."""
        if (
            self.write_wants_read
            or self.read_wants_write
            or self.at_end
            or self.stops_reading
            or self.other.pending
        ):
            self._do_what_waits()
            return
        # Each message of a connection takes this way, and pays for each call.
        before = self.moved
        RelaySide.doRead(self)
        if self.moved == before and self.tls is not None and not self.relay.over:
            self._note_read()

    def _do_what_waits(self) -> None:
        if self.write_wants_read:
            self._write()
        if not self.read_wants_write:
            self._read()

    def doWrite(self) -> None:
        """Do what waits until the socket can be written.  Called by the poller."""
        if self.read_wants_write:
            self._read()
        if not self.write_wants_read:
            self._write()

    def _read(self) -> None:
        if not self._reads:
            return
        was_crossed, self.read_wants_write = self.read_wants_write, False
        before = self.moved
        super().doRead()
        if self.relay.over:
            return
        if self.moved == before:
            self._note_read()
        if was_crossed and not self.read_wants_write:
            self.watch()

    def _note_read(self) -> None:
        """Nothing was read: note what the next read waits for."""
        if self.tls is not None and not self.at_end and self.tls.wants_write:
            self.read_wants_write = True
            self.watch()

    def _write(self) -> None:
        if not self._writes:
            return
        if self.is_ending:
            self.send_end()
            return
        super().doWrite()
        if not self.relay.over:
            self._note_write()
            self.watch()

    def _note_write(self) -> None:
        tls = self.tls
        self.write_wants_read = bool(tls and self.pending and tls.wants_read)

    def _hold(self) -> None:
        self.other._note_write()
        self.watch()
        self.other.watch()

    def _resume(self) -> None:
        self.other.watch()

    def proceed(self) -> None:
        """Pass on the end of this stream.  Called by the poller."""
        if not self.relay.over:
            self.watch()
            self.other.send_end()

    def send_end(self) -> None:
        """End the own direction of this stream, now or when there is room."""
        try:
            self.stream.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            self.is_ending = True
            self.watch()
            return
        except OSError:
            self.relay.on_lost(self)
            return
        if self.is_ending:
            self.is_ending = False
            self.watch()
        self.relay.on_half_closed()

    @property
    def _reads(self) -> bool:
        if self.relay.over or self.at_end or self.stops_reading:
            return False
        return not self.other.pending

    @property
    def _writes(self) -> bool:
        return not self.relay.over and (bool(self.pending) or self.is_ending)

    def watch(self) -> None:
        """Have the poller watch for what the next read and the next write wait for."""
        reads, writes, poller = self._reads, self._writes, self.poller
        if (reads and not self.read_wants_write) or (writes and self.write_wants_read):
            poller.addReader(self)
        else:
            poller.removeReader(self)
        if (writes and not self.write_wants_read) or (reads and self.read_wants_write):
            poller.addWriter(self)
        else:
            poller.removeWriter(self)
