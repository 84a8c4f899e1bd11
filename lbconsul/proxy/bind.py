"""Open the listening socket of a mapping."""

import errno
import os
import socket
import stat
from collections.abc import Mapping as AbstractMapping

from lbconsul.config.model import (
    ANY_HOST,
    Mapping,
    SystemdListen,
    TCPListen,
    UnixListen,
)
from lbconsul.proxy.sockets import set_nodelay

#: What the kernel may hold for us; it cuts it to net.core.somaxconn.
_BACKLOG = 4096


def open_socket(
    mapping: Mapping, inherited: AbstractMapping[str, int]
) -> socket.socket:
    """The listening socket of a mapping.

    :raises OSError: it is not to be had.
    """
    listen = mapping.listen
    if isinstance(listen, SystemdListen):
        sock = _inherited_socket(listen, inherited)
    elif isinstance(listen, UnixListen):
        sock = _unix_socket(listen, mapping.mode)
    else:
        assert listen is not None
        sock = _tcp_socket(listen)
    sock.setblocking(False)
    set_nodelay(sock)
    return sock


def _tcp_socket(listen: TCPListen) -> socket.socket:
    version6 = ":" in listen.host
    sock = socket.socket(socket.AF_INET6 if version6 else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version6 and listen.host in ANY_HOST:
            # [::]:80 leaves 0.0.0.0:80 to another mapping, as in nginx.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((listen.host, listen.port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _unix_socket(listen: UnixListen, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove_leftover(listen.path)
        sock.bind(listen.path)
        os.chmod(listen.path, mode)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_leftover(path: str) -> None:
    """Remove the socket of a process that is gone: one that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # its queue may be full, for as long as it likes
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def _inherited_socket(
    listen: SystemdListen, inherited: AbstractMapping[str, int]
) -> socket.socket:
    if listen.name not in inherited:
        had = ", ".join(inherited) or "none"
        raise OSError(f"systemd passed no socket of that name (it passed: {had})")
    return socket.socket(fileno=os.dup(inherited[listen.name]))
