"""The listening socket at which a gateway waits for its successor."""

import socket
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.net.unix_socket import FileIdentity, file_identity, remove_file
from lbconsul.takeover.rendezvous import listen_at

#: How long to stop accepting after accept() failed, for instance for want of
#: descriptors, in seconds.
_PAUSE = 1.0


@implementer(IReadDescriptor)
@define(eq=False)
class Door:
    """Listens at `path`, and passes on each connection."""

    _log = Logger()
    _reactor: Any
    path: str
    _came: Callable[[socket.socket], None]
    _sock: socket.socket | None = None
    _identity: FileIdentity | None = None
    _pause: Any = None

    def open(self) -> None:
        """Listen at `path`, in place of any earlier listener.

        :raises OSError: the socket cannot be created.
        """
        self._sock = listen_at(self.path)
        self._identity = file_identity(self.path)
        self._reactor.addReader(self)

    def close(self, *, clear: bool) -> None:
        """Stop listening; with `clear` remove the socket file unless another
        gateway owns it.
        """
        if self._sock is None:
            return
        if self._pause is None:
            self._reactor.removeReader(self)
        else:
            self._pause.cancel()
            self._pause = None
        if clear:
            remove_file(self.path, self._identity)
        self._sock.close()
        self._sock = None

    def fileno(self) -> int:
        """Called by the reactor."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "takeover"

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor if it gives the socket up, which should not happen."""
        self._log.failure("{path}: the socket is lost", reason, path=self.path)

    def doRead(self) -> None:
        """Called by the reactor when a client connects."""
        assert self._sock is not None
        try:
            sock, _ = self._sock.accept()
            with sock:
                sock.setblocking(False)
                self._came(sock)
        except (BlockingIOError, ConnectionError):
            pass
        except OSError as error:
            self._log.warn(
                "{path}: nobody can be let in: {error}",
                path=self.path,
                error=error.strerror,
            )
            self._reactor.removeReader(self)
            self._pause = self._reactor.callLater(_PAUSE, self._look_again)

    def _look_again(self) -> None:
        self._pause = None
        self._reactor.addReader(self)
