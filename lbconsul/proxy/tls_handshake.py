"""The TLS handshake of a client."""

from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from lbconsul.net.sockets import has_ended
from lbconsul.proxy.handshake_queue import HandshakeQueue
from lbconsul.proxy.handshake_settings import TLSAcceptor
from lbconsul.proxy.handshake_socket import HandshakeSocket
from lbconsul.tls.errors import TLSError, Truncated

if TYPE_CHECKING:  # OpenSSL takes memory that handshakes without TLS do without
    from lbconsul.tls.stream import TLSStream

#: The most unread bytes that are discarded when TLS fails.
_DISCARDED = 65536


class TLSHandshake(HandshakeSocket):
    """Takes the steps of a TLS handshake when the queue of the process lets it.

    A client that has sent nothing costs no object of OpenSSL's.
    """

    __slots__ = ("_acceptor", "_queue", "tls")

    # Set by the class that is made: each connection pays for a call.
    _queue: HandshakeQueue
    _acceptor: TLSAcceptor | None
    #: The stream, once the handshake has begun.
    tls: "TLSStream | None"

    @abstractmethod
    def time_out(self) -> None:
        """End: the client takes too long."""

    @abstractmethod
    def _go_on(self, is_complete: bool) -> None:
        """Go on after a turn, which may have completed the handshake."""

    @abstractmethod
    def _on_tls_failed(self, reason: str) -> None:
        """The handshake failed; an alert was sent if the client can still get it."""

    @abstractmethod
    def _on_bug(self) -> None:
        """An exception that is no error of TLS is about to be raised."""

    def _await_turn(self) -> bool:
        """Go on at once, or once it is its turn: then `take_turn` does the rest."""
        if self.tls or self._peek(1):
            has_turn = self._queue.run(self)
            if not has_turn and self._is_polled:
                self._stop_polling()  # or it would be reported in each turn
        return False

    def take_turn(self, has_waited: bool) -> None:
        """Go on with the handshake, and what follows.  Called by the queue."""
        try:
            if has_waited and self.tls is None and has_ended(self.stream):
                self._on_left()
            elif self._continue_handshake():
                self._go_on(True)
        except Exception:
            self._on_bug()
            raise

    def _continue_handshake(self) -> bool:
        """Take a step; returns whether the handshake is complete."""
        tls = self.tls
        try:
            if tls is None:
                assert self._acceptor is not None
                tls = self.tls = self._acceptor.accept(self.stream)
            tls.handshake()
        except BlockingIOError:
            assert tls is not None
            self._poll(tls)
            return False
        except OSError as error:
            self._on_error(error)
            return False
        self._queue.leave(self)
        return True

    def _on_error(self, error: OSError) -> None:
        if isinstance(error, Truncated) or not isinstance(error, TLSError):
            self._on_left()
            return
        self._discard_unread()
        self._on_tls_failed(str(error))

    def _poll(self, tls: "TLSStream") -> None:
        """Have the poller report what the handshake waits for."""
        if tls.wants_write:
            self._poll_writing()
            self._poller.removeReader(self)
        elif not self._is_polled:
            self._is_polled = True
            self._poller.addReader(self)
        else:
            self._poller.addReader(self)
            self._poller.removeWriter(self)

    def _discard_unread(self) -> None:
        """Discard what the client has sent, before it is closed with an alert.

        With bytes unread the kernel would send a reset, which may overtake the alert.
        """
        with suppress(OSError):
            self.stream.recv(_DISCARDED)
