"""Accepts connections to the admin listener."""

import socket
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.admin.http_server import AdminFactory

#: Connections accepted in one turn of the reactor.
AT_ONCE = 16

#: How long accepting pauses after `accept` failed, in seconds: most likely the process
#: has no descriptor left.
PAUSE = 0.1


@implementer(IReadDescriptor)
@define(eq=False)
class Acceptor:
    """Accepts from a listening socket, which the caller owns and closes.

    Twisted's own port would make the file of a UNIX socket accessible to every user.
    """

    _log = Logger()
    _reactor: Any
    _sock: socket.socket
    _factory: AdminFactory
    #: The delayed call that ends a pause.
    _call: Any = None

    def start(self) -> None:
        """Start accepting."""
        self._call = None
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Stop accepting."""
        self._reactor.removeReader(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def fileno(self) -> int:
        """Called by the reactor: the descriptor to watch."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "admin"

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor if it drops the socket, which is not expected."""
        self._log.failure("admin: the listening socket is lost", reason)

    def doRead(self) -> None:
        """Called by the reactor: clients wait; accept up to `AT_ONCE` of them."""
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
                with sock:
                    sock.setblocking(False)
                    self._reactor.adoptStreamConnection(
                        sock.fileno(), sock.family, self._factory
                    )
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # the client closed before it was accepted
            except OSError:
                self._wait()
                return

    def _wait(self) -> None:
        """No descriptor or memory: close the longest idle connection, then pause."""
        self._factory.make_room()
        self._reactor.removeReader(self)
        self._call = self._reactor.callLater(PAUSE, self.start)
