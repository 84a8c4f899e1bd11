"""UNIX sockets, and the files by which they are found."""

import errno
import os
import socket
import stat
from contextlib import suppress

#: What tells one file from another, even at the same path: device and inode.
FileIdentity = tuple[int, int]


def bind_unix(sock: socket.socket, path: str, mode: int) -> None:
    """Bind to `path`: at no moment may more users connect than `mode` says.

    :raises OSError: it is not possible.
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
    """Remove the socket of a process that is gone: one that nobody listens on.

    :raises OSError: it cannot be removed.
    """
    if not is_socket(path):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # its queue may be full, for as long as it likes
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def is_socket(path: str) -> bool:
    """Whether a socket is there."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def file_identity(path: str) -> FileIdentity | None:
    """Which file is at `path` now; None if there is none."""
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None


def remove_file(path: str, identity: FileIdentity | None) -> None:
    """Remove this file, if it is there still and can be removed."""
    if identity is not None and file_identity(path) == identity:
        with suppress(OSError):
            os.unlink(path)
