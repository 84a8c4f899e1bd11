"""The listening socket of the admin listener."""

import socket

from lbconsul.config.model import ANY_HOST, TCPListen, UnixListen
from lbconsul.net.unix_socket import bind_unix, remove_leftover

_BACKLOG = 64

#: The mode of a UNIX socket's file: any user who can open it can read the status.
_MODE = 0o600


def open_socket(listen: TCPListen | UnixListen) -> socket.socket:
    """A non-blocking socket that listens on this address.

    :raises OSError: the address cannot be bound.
    """
    unix = isinstance(listen, UnixListen)
    version6 = isinstance(listen, TCPListen) and ":" in listen.host
    inet = socket.AF_INET6 if version6 else socket.AF_INET
    sock = socket.socket(socket.AF_UNIX if unix else inet)
    try:
        _bind(sock, listen)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind(sock: socket.socket, listen: TCPListen | UnixListen) -> None:
    if isinstance(listen, UnixListen):
        remove_leftover(listen.path)
        bind_unix(sock, listen.path, _MODE)
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6 and listen.host in ANY_HOST:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((listen.host, listen.port))
