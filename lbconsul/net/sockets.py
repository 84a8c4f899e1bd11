"""Helpers for bare sockets."""

import _socket
import errno
import fcntl
import select
import socket
import struct
import termios
from functools import cache
from pathlib import Path

from lbconsul.net.stream import Stream

#: A socket of a connection.  `socket.socket` is the same with conveniences written in
#: Python, which add ten calls to each connection.
BareSocket = _socket.socket

#: Errors that say a resource ran out which the end of a connection frees.
STARVED = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,  # epoll_ctl(2): fs.epoll.max_user_watches
    }
)

#: The address of a client that left before it could be asked for.
UNKNOWN_ADDRESS = ("?", 0)

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


def reset_on_close(sock: Stream) -> None:
    """Make close(2) send a reset to the peer, if the socket's kind has one."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)


def set_nodelay(sock: socket.socket) -> None:
    """Set TCP_NODELAY on a TCP socket; accepted sockets inherit it."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def queued(sock: Stream) -> int:
    """Bytes sent on a socket but not acknowledged (tcp(7), SIOCOUTQ)."""
    try:
        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:  # the socket is not connected any more
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count


def unread(sock: Stream) -> int:
    """Bytes that have arrived on a socket and were not read (tcp(7), SIOCINQ)."""
    answer = fcntl.ioctl(sock, termios.FIONREAD, struct.pack("i", 0))
    count: int = struct.unpack("i", answer)[0]
    return count


def await_bytes(sock: BareSocket, count: int) -> None:
    """Have a TCP socket count as readable once so many bytes, or the end, are there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


def has_ended(sock: Stream) -> bool:
    """Whether the peer has ended its direction, even if there are unread bytes.

    False on a system that cannot say so.
    """
    ended: int = getattr(select, "POLLRDHUP", 0)
    poll = select.poll()
    poll.register(sock, ended)
    return bool(poll.poll(0))


@cache
def first_own_port() -> int:
    """The first port that the kernel chooses for outgoing connections (ip(7))."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return int(text.split()[0])
    except OSError:  # no Linux
        return 32768


def address_text(address: object) -> str:
    """A peer's address for people to read."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "unix"
