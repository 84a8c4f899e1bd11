"""The door at which a gateway waits for its successor."""

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

#: How long to leave the door alone after the kernel would not let us open it, be it
#: for want of descriptors, in seconds.
_PAUSE = 1.0


@implementer(IReadDescriptor)
@define(eq=False)
class Door:
    """Listens at `path`, and passes on whoever comes."""

    _log = Logger()
    _reactor: Any
    path: str
    _came: Callable[[socket.socket], None]
    _sock: socket.socket | None = None
    _identity: FileIdentity | None = None
    _pause: Any = None

    def open(self) -> None:
        """Listen, in the place of whoever did before.

        :raises OSError: it cannot be had.
        """
        self._sock = listen_at(self.path)
        self._identity = file_identity(self.path)
        self._reactor.addReader(self)

    def close(self, *, clear: bool) -> None:
        """Listen no more; with `clear` our file goes, unless it is another's by now."""
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
        """The reactor gave the socket up, which it has no cause to."""
        self._log.failure("{path}: the socket is lost", reason, path=self.path)

    def doRead(self) -> None:
        """Somebody comes.  Called by the reactor."""
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
