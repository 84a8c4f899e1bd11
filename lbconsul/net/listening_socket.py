"""Listening sockets: opened, inherited or borrowed."""

import os
import socket
import stat
from collections.abc import Mapping as AbstractMapping
from contextlib import suppress
from typing import Protocol

from attrs import define, field

from lbconsul.config.listen import (
    ANY_HOST,
    SystemdListen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.net.sockets import set_nodelay
from lbconsul.net.unix_socket import (
    FileIdentity,
    bind_unix,
    file_identity,
    is_socket,
    remove_file,
    remove_leftover,
)

#: The accept queue's length; the kernel caps it at net.core.somaxconn.
_BACKLOG = 4096


class ListeningSocket(Protocol):
    """Opens a socket for a listener, and closes it."""

    def open(self) -> socket.socket:
        """The socket, opened unless it is open.

        :raises CannotListen: the socket cannot be opened.
        """

    def close(self) -> None:
        """Close the socket: the listener has stopped."""


@define(eq=False)
class OwnedSocket:
    """The listening socket of a mapping, which this process opens and closes.

    `inherited` maps names to descriptors: those that systemd passed by their name,
    those that another gateway handed over by their listening address.
    """

    mapping: Mapping
    _inherited: AbstractMapping[str, int] = field(factory=dict)
    _sock: socket.socket | None = None
    #: The file of a UNIX socket.
    _file: FileIdentity | None = None
    #: Whether another gateway listens on it too, which then keeps the file of a UNIX
    #: socket.
    is_shared: bool = False

    @property
    def sock(self) -> socket.socket | None:
        """The socket; None unless it is open."""
        return self._sock

    def open(self) -> socket.socket:
        """The socket, opened unless it is open.

        :raises CannotListen: the socket cannot be opened or inherited.
        """
        if self._sock is None:
            mapping = self.mapping
            try:
                handed = _handed_over(mapping, self._inherited)
                self.is_shared = handed is not None
                self._sock = handed or open_socket(mapping, self._inherited)
            except OSError as error:
                raise CannotListen(
                    f"cannot listen on {mapping.listen} for --map {mapping}:"
                    f" {error.strerror or error}"
                ) from None
            if isinstance(mapping.listen, UnixListen):
                self._file = file_identity(mapping.listen.path)
        return self._sock

    def alter(self, mapping: Mapping) -> None:
        """Use the socket for another mapping with the same listening address.

        :raises OSError: chmod(2) on the file of a UNIX socket fails.
        """
        mode, self.mapping = self.mapping.unix_mode, mapping
        listen = mapping.listen
        if isinstance(listen, UnixListen) and mapping.unix_mode != mode and self._sock:
            os.chmod(listen.path, mapping.unix_mode)

    def close(self) -> None:
        """Close the socket; remove the file of a UNIX socket unless it is shared."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if isinstance(self.mapping.listen, TCPListen) and not self.is_shared:
                # Workers may hold copies a moment longer; shutdown frees the address
                # at once.
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            if isinstance(self.mapping.listen, UnixListen) and not self.is_shared:
                remove_file(self.mapping.listen.path, self._file)


@define(eq=False)
class BorrowedSocket:
    """A socket that another process has bound, and cleans up."""

    _sock: socket.socket

    def open(self) -> socket.socket:
        return self._sock

    def close(self) -> None:
        """Close this process's copy."""
        self._sock.close()


def open_socket(
    mapping: Mapping, inherited: AbstractMapping[str, int]
) -> socket.socket:
    """Open the listening socket of a mapping, or take it from systemd.

    :raises OSError: it cannot be bound, or systemd did not pass it.
    """
    listen = mapping.listen
    if isinstance(listen, SystemdListen):
        sock = _inherited_socket(listen, inherited)
        sock.setblocking(False)
    else:
        assert listen is not None
        sock = listen_on(listen, mapping.unix_mode)
    set_nodelay(sock)
    return sock


def listen_on(
    listen: TCPListen | UnixListen, unix_mode: int, backlog: int = _BACKLOG
) -> socket.socket:
    """A non-blocking socket that listens on an address.

    The file of a UNIX socket gets the mode `unix_mode`, and replaces a socket that no
    process listens on.

    :raises OSError: the address cannot be bound.
    """
    unix = isinstance(listen, UnixListen)
    version6 = isinstance(listen, TCPListen) and ":" in listen.host
    inet = socket.AF_INET6 if version6 else socket.AF_INET
    sock = socket.socket(socket.AF_UNIX if unix else inet)
    try:
        if isinstance(listen, UnixListen):
            remove_leftover(listen.path)
            bind_unix(sock, listen.path, unix_mode)
        else:
            _bind_tcp(sock, listen)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind_tcp(sock: socket.socket, listen: TCPListen) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6 and listen.host in ANY_HOST:
        # [::]:80 leaves 0.0.0.0:80 to another mapping, as in nginx.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((listen.host, listen.port))


def _handed_over(
    mapping: Mapping, inherited: AbstractMapping[str, int]
) -> socket.socket | None:
    """The socket that another gateway handed over, if there is one.

    :raises OSError: it cannot be used.
    """
    listen, descriptor = mapping.listen, inherited.get(str(mapping.listen))
    if descriptor is None:
        return None
    if isinstance(listen, SystemdListen) and listen.name in inherited:
        return None  # the socket that systemd passes now is newer
    if isinstance(listen, UnixListen):
        if not is_socket(listen.path):
            return None  # clients could not find it any more
        if stat.S_IMODE(os.stat(listen.path).st_mode) != mapping.unix_mode:
            os.chmod(listen.path, mapping.unix_mode)
    sock = socket.socket(fileno=os.dup(descriptor))
    sock.setblocking(False)
    return sock


def _inherited_socket(
    listen: SystemdListen, inherited: AbstractMapping[str, int]
) -> socket.socket:
    if listen.name not in inherited:
        # Names of sockets that another gateway handed over contain a colon.
        had = ", ".join(each for each in inherited if ":" not in each) or "none"
        raise OSError(f"systemd passed no socket with that name; it passed: {had}")
    return socket.socket(fileno=os.dup(inherited[listen.name]))
