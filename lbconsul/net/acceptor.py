"""Accepts connections for the gateway itself: to the admin listener, to take over."""

import socket
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: Connections accepted in one turn of the reactor.
AT_ONCE = 16


@implementer(IReadDescriptor)
@define(eq=False)
class Acceptor:
    """Accepts from a listening socket, which the caller owns and closes.

    Twisted's own port would make the file of a UNIX socket accessible to every user.
    Mappings have a listener of their own, with limits that a few connections do not
    need.
    """

    _log = Logger()
    _reactor: Any
    #: What it accepts for, in log lines.
    _name: str
    _sock: socket.socket
    #: Takes a connection, whose socket is closed when this returns.
    _accepted: Callable[[socket.socket], None]
    #: Called when no descriptor or memory is left for a connection, or for the copy of
    #: its socket that the reactor adopts.
    _starved: Callable[[OSError], None]
    #: How long accepting pauses then, in seconds.
    _pause: float
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
        return self._name

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor if it drops the socket, which is not expected."""
        self._log.failure(
            "{name}: the reactor dropped the listening socket", reason, name=self._name
        )

    def doRead(self) -> None:
        """Called by the reactor: clients wait; accept up to `AT_ONCE` of them."""
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
                with sock:
                    sock.setblocking(False)
                    self._accepted(sock)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # the client closed before it was accepted
            except OSError as error:
                self._wait(error)
                return

    def _wait(self, error: OSError) -> None:
        self._starved(error)
        self._reactor.removeReader(self)
        self._call = self._reactor.callLater(self._pause, self.start)
