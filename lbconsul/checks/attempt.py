"""One check under way: connects to an instance, asks it, and reads the answer's head.

It closes with a reset, as HAProxy's checks do: else each would leave a socket in
TIME_WAIT, here or there.
"""

import errno
import os
from collections.abc import Callable
from enum import Enum, auto
from socket import SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Protocol

from attrs import frozen
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from lbconsul.balance.instance import Instance
from lbconsul.checks.http_probe import host_of, judge, request
from lbconsul.config.check import Probe
from lbconsul.net.connect import connect
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import STARVED, BareSocket, reset_on_close
from lbconsul.net.stream import Stream

if TYPE_CHECKING:  # OpenSSL takes memory that a check without TLS does without
    from lbconsul.tls.stream import TLSStream

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})

#: Errors that say nothing of the instance: no descriptor, no memory, no local port.
_OWN_ERRORS = STARVED | {errno.EADDRNOTAVAIL}

#: Bytes that are read at once.
_READ = 4096


class Connector(Protocol):
    """Makes TLS streams to instances."""

    def connect(self, sock: BareSocket, instance: Instance) -> "TLSStream":
        """A stream on a connected socket, to verify as this instance.

        :raises OSError: there is no usable certificate or authority.
        """


@frozen
class Means:
    """How the checks with one specification are made."""

    probe: Probe
    #: The PROXY header that comes first: the gateway speaks for itself.
    header: bytes
    #: None without TLS.
    connector: Connector | None


class State(Enum):
    """What a check waits for."""

    CONNECTING = auto()
    HANDSHAKING = auto()
    SENDING = auto()
    READING = auto()
    OVER = auto()


class CheckAttempt:
    """One check of one address; `on_done` is called once, unless it is cancelled.

    It gets whether the check passed, None if it shows nothing, and why.
    """

    __slots__ = (
        "_address", "_data", "_instance", "_means", "_on_done", "_poller", "_sock",
        "_unsent", "state", "stream", "watched",
    )  # fmt: skip

    def __init__(
        self,
        poller: Poller,
        means: Means,
        instance: Instance,
        address: str,
        on_done: Callable[[bool | None, str], None],
    ) -> None:
        self._poller = poller
        self._means = means
        self._instance = instance
        self._address = address
        self._on_done = on_done
        self._data = b""
        self._unsent = b""
        self._sock: BareSocket | None = None
        #: The socket, or TLS on it.
        self.stream: Stream | None = None
        #: Events watched; only the poller changes it.
        self.watched = 0
        self.state = State.CONNECTING

    def begin(self) -> None:
        """Connect; `on_done` may be called at once."""
        self._sock, code = connect(self._address, self._instance.port)
        self.stream = self._sock
        if code in _IN_PROGRESS:
            self._guarded(lambda: self._poller.addWriter(self))
        elif code:
            self._failed(OSError(code, os.strerror(code)))
        else:
            self._guarded(self._connected)

    def fileno(self) -> int:
        """The socket's descriptor, for a reactor."""
        return -1 if self.stream is None else self.stream.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "own check"

    def doWrite(self) -> None:
        """The connect is decided, or there is room to send.  Called by the poller."""
        if self.state is not State.CONNECTING:
            self._guarded(self._go_on)
            return
        assert self._sock is not None
        code = _error_of(self._sock)
        if code:
            self._failed(OSError(code, os.strerror(code)))
        else:
            self._guarded(self._connected)

    def doRead(self) -> None:
        """There are bytes.  Called by the poller."""
        self._guarded(self._go_on)

    def connectionLost(self, reason: Failure) -> None:
        """The instance hung up, a callback raised, or the reactor stops."""
        if self.state is State.OVER:
            return
        if reason.check(ConnectionLost) and self._sock is not None:
            code = _error_of(self._sock) or errno.ECONNRESET
            self._failed(OSError(code, os.strerror(code)))
        else:
            self._end(None, "")

    def time_out(self, text: str) -> None:
        """It takes too long."""
        is_connecting = self.state is State.CONNECTING
        what = "connection" if is_connecting else "answer"
        self._end(False, f"no {what} in {text}")

    def cancel(self) -> None:
        """End without a result; later calls do nothing."""
        if self.state is not State.OVER:
            self._close()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BlockingIOError:
            try:
                self._wait()
            except OSError as error:
                self._failed(error)
        except OSError as error:
            self._failed(error)

    def _connected(self) -> None:
        self._unsent = self._means.header
        if self._means.connector is not None:
            self.state = State.HANDSHAKING
        else:
            self._unsent += self._request()
            self.state = State.SENDING
        self._go_on()

    def _request(self) -> bytes:
        probe, connector = self._means.probe, self._means.connector
        if not probe.path:
            return b""
        instance = self._instance
        is_tls = connector is not None
        return request(probe, host_of(instance.host, instance.port, is_tls=is_tls))

    def _go_on(self) -> None:
        """Take all steps that can be taken now.

        :raises OSError: one has to wait, or failed.
        """
        assert self.stream is not None
        if self.state is State.HANDSHAKING:
            self._send()
            self._shake_hands()
            self._unsent, self.state = self._request(), State.SENDING
        if self.state is State.SENDING:
            self._send()
            if not self._means.probe.path:
                self._end(True, "")
                return
            self.state = State.READING
            if self.watched == 0:  # the answer takes at least a turn of the reactor
                raise BlockingIOError
        self._read()

    def _send(self) -> None:
        assert self.stream is not None
        while self._unsent:
            self._unsent = self._unsent[self.stream.send(self._unsent) :]

    def _shake_hands(self) -> None:
        connector = self._means.connector
        assert connector is not None
        assert self._sock is not None
        try:
            if self.stream is self._sock:
                self.stream = connector.connect(self._sock, self._instance)
            tls: TLSStream = self.stream  # type: ignore[assignment]
            tls.handshake()
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionError(f"TLS: {error.strerror or error}") from None

    def _read(self) -> None:
        assert self.stream is not None
        while True:
            data = self.stream.recv(_READ)
            if not data:
                cut = "a cut answer" if self._data else "closed without an answer"
                self._end(False, cut)
                return
            self._data += data
            verdict = judge(self._means.probe, self._data)
            if verdict is not None:
                self._end(verdict.passed, verdict.text)
                return

    def _wait(self) -> None:
        """Have the poller watch for what the present step waits for."""
        poller, stream = self._poller, self.stream
        for_read = self.state is State.READING
        if stream is not self._sock:
            tls: TLSStream = stream  # type: ignore[assignment]
            for_read = tls.wants_read or (for_read and not tls.wants_write)
        if for_read:
            poller.addReader(self)
            poller.removeWriter(self)
        else:
            poller.addWriter(self)
            poller.removeReader(self)

    def _failed(self, error: OSError) -> None:
        if error.errno in _OWN_ERRORS:
            self._end(None, str(error.strerror))
        else:
            self._end(False, error.strerror or str(error))

    def _end(self, passed: bool | None, text: str) -> None:
        if self.state is not State.OVER:
            self._close()
            self._on_done(passed, text)

    def _close(self) -> None:
        self.state = State.OVER
        sock, stream = self._sock, self.stream
        if sock is None or stream is None:
            return
        self._poller.forget(self)
        try:
            reset_on_close(sock)
            stream.close()
        except OSError:
            sock.close()
        self._sock = self.stream = None


def _error_of(sock: BareSocket) -> int:
    return sock.getsockopt(SOL_SOCKET, SO_ERROR)
