"""What all that works on bare sockets needs."""

import errno
import socket
import struct

#: We are out of something that comes back when a connection ends.
STARVED = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,  # no local port is left
    }
)

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


def close_with_reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset, as far as its kind has one."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    finally:
        sock.close()


def set_nodelay(sock: socket.socket) -> None:
    """Send small pieces at once; a TCP socket that listens passes it on."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def address_text(address: object) -> str:
    """A peer's address for people to read."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "unix"
