"""Take a socket out of a Twisted transport."""

import socket
from collections.abc import Callable
from typing import cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISSLTransport, ISystemHandle, ITransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from lbconsul.net.sockets import UNKNOWN_ADDRESS, set_nodelay


class SocketDetacher(Protocol):
    """Detaches the socket from its transport, and passes it to `connected`."""

    _log = Logger()

    def __init__(self, connected: Callable[[socket.socket, object], None]) -> None:
        self._connected = connected

    def makeConnection(self, transport: ITransport) -> None:
        """Detach the socket; the listening port calls this before any read."""
        has_handle = ISystemHandle.providedBy(transport)
        handle = cast(ISystemHandle, transport).getHandle() if has_handle else None
        if ISSLTransport.providedBy(transport) or not isinstance(handle, socket.socket):
            self._log.error(
                "ProxyFactory needs an endpoint of plain sockets, not {transport}",
                transport=type(transport).__name__,
            )
            transport.loseConnection()
            return
        # Leave the reactor's tables first: their keys are descriptors.
        descriptor = cast(FileDescriptor, transport)
        descriptor.stopReading()
        descriptor.stopWriting()
        address = _peer(handle)
        client = socket.socket(fileno=handle.detach())
        client.setblocking(False)
        set_nodelay(client)
        self._connected(client, address)


def _peer(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:  # the client left at once; the dial will see it
        return UNKNOWN_ADDRESS
