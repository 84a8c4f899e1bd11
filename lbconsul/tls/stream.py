"""A TLS connection as a byte stream on a non-blocking socket."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from OpenSSL import SSL

from lbconsul.net.sockets import BareSocket
from lbconsul.tls.errors import TLSError, Truncated
from lbconsul.tls.openssl import WANT_READ, WANT_WRITE, Buffer, PublicCalls, open_calls

#: Most bytes of data in one record (RFC 8446, section 5.1).
RECORD = 16384

#: A record with fewer bytes is likely the last of a message: to read on would find
#: nothing.  Go's records begin at 1.2 KB.
_SHORT = 1024

#: What `recv` reads into, of all streams: OpenSSL has no use for a new one each time.
_BUFFER = bytearray(4 * RECORD)

_CLOSED = OSError, (errno.EBADF, os.strerror(errno.EBADF))


class TLSStream:
    """A `net.stream.Stream` whose bytes OpenSSL encrypts and decrypts on its socket.

    The connection is set to accept or to connect, and on `sock`.  `handshake` comes
    first.  An operation that raises `BlockingIOError` waits for the direction that it
    waits for on a plain socket, unless `wants_write` (after a read) or `wants_read`
    (after a write) says the other one.  A write that did not send all is repeated with
    the same bytes, and those that follow if the caller likes.

    Errors are `ConnectionError`s: that of the system call, `TLSError`, or `Truncated`
    if the peer ends TCP without close_notify.  After the first one every further call
    raises it again.
    """

    __slots__ = (
        "_calls",
        "_end_sent",
        "_failure",
        "_is_abortive",
        "_is_at_end",
        "_is_up",
        "_socket",
        "connection",
        "fileno",
        "wants_read",
        "wants_write",
    )

    #: Returns the socket's descriptor; -1 after `close`.
    fileno: Callable[[], int]

    def __init__(
        self,
        connection: SSL.Connection,
        sock: BareSocket,
        calls: type[PublicCalls] = open_calls,
    ) -> None:
        #: What the handshake agreed on: names, certificates, protocols.  Bytes go
        #: through this stream alone.
        self.connection = connection
        #: Whether the handshake, or the last write, waits until it can read.
        self.wants_read = False
        #: Whether the handshake, or the last read, waits until it can write.
        self.wants_write = False
        self._socket = sock
        self.fileno = sock.fileno  # each connection pays for a call
        self._calls = calls(connection)
        self._is_up = False
        self._is_abortive = False
        self._end_sent = False
        self._is_at_end = False
        #: The error that broke the stream, without the frames that it came through.
        self._failure: tuple[type[OSError], tuple[object, ...]] | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether the peer ended TCP without close_notify, which broke the stream."""
        return self._failure is not None and self._failure[0] is Truncated

    @property
    def error(self) -> str:
        """What was wrong, such as an alert of the peer's, if TLS broke the stream."""
        if self._failure is None or self._failure[0] is not TLSError:
            return ""
        return str(self._failure[1][0])

    def handshake(self) -> None:
        """Continue the handshake; returns once it is complete.

        :raises BlockingIOError: not yet; `wants_read` or `wants_write` is set.
        :raises OSError: the handshake failed; an alert was sent if the peer can still
            get it.
        """
        if self._failure:
            self._raise_failure()
        try:
            outcome = self._calls.handshake()
        except OSError as error:
            raise self._broken_by(error) from None
        if outcome == 0:  # close_notify before the handshake's end
            raise self._broken_by(ConnectionAbortedError("ended by the peer"))
        self.wants_read = outcome == WANT_READ
        self.wants_write = outcome == WANT_WRITE
        if outcome < 0:
            raise BlockingIOError
        self._is_up = True

    def recv_into(self, buffer: Buffer, /) -> int:
        """Read into `buffer`; returns the number of bytes, 0 after close_notify.

        Reads further records for as long as a whole one fits.  If it returns less than
        the buffer holds, OpenSSL keeps nothing that the poller could not know of.
        """
        if self._is_at_end or self._failure:
            self._raise_failure()
            return 0
        size = len(buffer)
        try:
            count = self._calls.read(buffer, 0, RECORD if size > RECORD else size)
        except OSError as error:
            raise self._broken_by(error) from None
        if count < _SHORT or size - count < RECORD:
            if count > 0:
                return count
            return self._nothing_read(count)
        return count + self._read_on(buffer, count)

    def recv(self, size: int, /) -> bytes:
        """Read up to 64 KiB, as `recv_into` does."""
        view = memoryview(_BUFFER)[:size]
        return bytes(view[: self.recv_into(view)])

    def _read_on(self, buffer: Buffer, start: int) -> int:
        """Read further records, until none comes, a short one does, or none fits."""
        read, at, last = self._calls.read, start, len(buffer) - RECORD
        count = _SHORT
        while at <= last and count >= _SHORT:
            try:
                count = read(buffer, at, RECORD)
            except OSError as error:
                self._broken_by(error)
                self._show_end()
                break
            if count > 0:
                at += count
            elif count == 0:
                self._is_at_end = True
                self._show_end()
            else:
                self.wants_write = count == WANT_WRITE
        return at - start

    def _nothing_read(self, outcome: int) -> int:
        if outcome == 0:
            self._is_at_end = True
            return 0
        self.wants_write = outcome == WANT_WRITE
        raise BlockingIOError

    def _show_end(self) -> None:
        """Have the poller say that there is something to read: an end or an error.

        OpenSSL has taken it from the socket, which the poller knows alone.
        """
        with suppress(OSError):  # not connected any more, which the poller shows
            self._socket.shutdown(socket.SHUT_RD)

    def send(self, data: bytes | memoryview, /) -> int:
        """Send the beginning of `data`; returns how many bytes.

        Returns early only if the socket is full.
        """
        if self._failure:
            self._raise_failure()
        try:
            sent, outcome = self._calls.write(data)
        except OSError as error:
            raise self._broken_by(error) from None
        if sent < len(data):
            self.wants_read = outcome == WANT_READ
            if not sent:
                raise BlockingIOError
        return sent

    def shutdown(self, how: int, /) -> None:
        """End the own direction, with `socket.SHUT_WR`: close_notify, then TCP's end.

        :raises BlockingIOError: close_notify does not fit into the socket: call again
            when it can be written.
        """
        if self._failure:
            self._raise_failure()
        if not self._end_sent:
            try:
                outcome = self._calls.shutdown()
            except OSError as error:
                raise self._broken_by(error) from None
            if outcome < 0:
                raise BlockingIOError
            self._end_sent = True
        self._socket.shutdown(how)

    def getsockopt(self, level: int, option: int, /) -> int:
        """An option of the socket."""
        return self._socket.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """Set an option of the socket; after SO_LINGER `close` sends no close_notify.

        A connection that is reset must not look complete.
        """
        if level == socket.SOL_SOCKET and option == socket.SO_LINGER:
            self._is_abortive = True
        self._socket.setsockopt(level, option, value)

    def close(self) -> None:
        """Close the socket, after one try to send close_notify if TLS is up.

        Never blocks or raises.  Call `shutdown` before to be sure that close_notify was
        sent.
        """
        is_orderly = not (self._is_abortive or self._end_sent or self._failure)
        if is_orderly and self._is_up:
            try:  # noqa: SIM105 -- each connection would pay for three calls
                self._calls.shutdown()
            except OSError:
                pass
        # The descriptor may soon be another connection's.
        self._failure = _CLOSED
        try:  # noqa: SIM105
            self._socket.close()
        except OSError:
            pass

    def _broken_by(self, error: OSError) -> OSError:
        self._failure = type(error), error.args
        return error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            kind, args = self._failure
            raise kind(*args)
