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

#: How long to accept none after the kernel would not let us, in seconds: it lacks
#: descriptors, most likely.
PAUSE = 0.1


@implementer(IReadDescriptor)
@define(eq=False)
class Acceptor:
    """Accepts from a listening socket, which is its owner's to close.

    Twisted's own port would give the file of a UNIX socket to all the world.
    """

    _log = Logger()
    _reactor: Any
    _sock: socket.socket
    _factory: AdminFactory
    #: The call that goes on after a pause.
    _call: Any = None

    def start(self) -> None:
        """Accept from now on."""
        self._call = None
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Accept no more."""
        self._reactor.removeReader(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def fileno(self) -> int:
        """Called by the reactor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "admin"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the socket up, which it has no cause to."""
        self._log.failure("admin: the listening socket is lost", reason)

    def doRead(self) -> None:
        """Called by the reactor."""
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
                continue  # it is gone before it could be had
            except OSError:
                self._wait()
                return

    def _wait(self) -> None:
        """There is nothing to serve a client with: the longest idle one has to go."""
        self._factory.make_room()
        self._reactor.removeReader(self)
        self._call = self._reactor.callLater(PAUSE, self.start)
