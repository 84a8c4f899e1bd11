"""UNIX sockets and their files."""

import errno
import os
import socket
import stat
from contextlib import suppress

#: Device and inode: distinguishes files at the same path.
FileIdentity = tuple[int, int]


def bind_unix(sock: socket.socket, path: str, mode: int) -> None:
    """Bind to `path`; the file never has wider permissions than `mode`.

    :raises OSError: bind(2) or chmod(2) fails.
    """
    with suppress(OSError):
        # On Linux the file gets the mode of the socket, even in a directory whose
        # default ACL overrides the umask (unix_bind in net/unix/af_unix.c).
        os.fchmod(sock.fileno(), mode)
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    if stat.S_IMODE(os.stat(path).st_mode) != mode:
        os.chmod(path, mode)


def remove_leftover(path: str) -> None:
    """Remove a stale socket, on which no process listens.

    :raises OSError: it cannot be removed.
    """
    if not is_socket(path):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # connect(2) blocks while the queue is full
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def is_socket(path: str) -> bool:
    """Whether `path` is a socket."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def file_identity(path: str) -> FileIdentity | None:
    """The identity of the file at `path`; None if there is none."""
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None


def remove_file(path: str, identity: FileIdentity | None) -> None:
    """Remove the file at `path` if it is still this one; ignore errors."""
    if identity is not None and file_identity(path) == identity:
        with suppress(OSError):
            os.unlink(path)
