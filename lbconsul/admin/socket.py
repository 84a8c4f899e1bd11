"""The socket that the admin listener listens on."""

import errno
import os
import socket
import stat
from contextlib import suppress

from lbconsul.config.model import ANY_HOST, TCPListen, UnixListen

_BACKLOG = 64

#: A UNIX socket is its owner's only: who may open it may look.
_MODE = 0o600


def open_socket(listen: TCPListen | UnixListen) -> socket.socket:
    """A socket that listens there.

    :raises OSError: it is not to be had.
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


def remove_file(listen: TCPListen | UnixListen) -> None:
    """Remove what a UNIX socket of ours left in the file system."""
    if isinstance(listen, UnixListen):
        with suppress(OSError):
            os.unlink(listen.path)


def _bind(sock: socket.socket, listen: TCPListen | UnixListen) -> None:
    if isinstance(listen, UnixListen):
        _remove_leftover(listen.path)
        sock.bind(listen.path)
        os.chmod(listen.path, _MODE)  # nobody can connect before it listens
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6 and listen.host in ANY_HOST:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((listen.host, listen.port))


def _remove_leftover(path: str) -> None:
    """Remove the socket of a process that is gone: one that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)
