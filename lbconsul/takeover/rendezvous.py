"""The UNIX socket where gateways meet; only its user may connect."""

import os
import secrets
import socket
import stat
import struct
from collections.abc import Iterable

from lbconsul.errors import CannotTakeOver
from lbconsul.net.unix_socket import bind_unix

#: The listen(2) backlog.
_BACKLOG = 64

#: struct ucred as SO_PEERCRED returns it: process, user, group.
_CREDENTIALS = struct.Struct("iII")


def check_place(path: str) -> None:
    """Check that gateways can meet at `path`.

    :raises CannotTakeOver: they cannot; the text says why.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise wrong(path, "needs SO_PEERCRED, which this system lacks")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise wrong(path, f"there is no directory {folder}")
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise wrong(path, f"the directory {folder} is not writable")
    # The kernel's limit of 108 bytes includes the final zero; the socket is first bound
    # to a longer, temporary name.
    if len(os.fsencode(_temporary(path))) > 107:
        raise wrong(path, "the path is too long for a UNIX socket")
    _see_what_is_there(path)


def _see_what_is_there(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise wrong(path, error.strerror) from None
    if not stat.S_ISSOCK(mode):
        raise wrong(path, "exists and is not a socket")


def listen_at(path: str) -> socket.socket:
    """A socket that listens at `path`, in place of any earlier one.

    Connecting to `path` succeeds at any moment if it did before: the socket is bound to
    a temporary name and then renamed.  Only its user may ever connect.

    :raises OSError: the socket cannot be created.
    """
    sock, temporary = socket.socket(socket.AF_UNIX), _temporary(path)
    try:
        bind_unix(sock, temporary, 0o600)
        try:
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            os.rename(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError:
        sock.close()
        raise
    return sock


def is_somebody_at(path: str) -> bool:
    """Whether a process listens at `path`, however busy."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # the listen queue is full
            return True
        except OSError:
            return False
        return True


def trusted_users(also: Iterable[int] = ()) -> frozenset[int]:
    """The users that are trusted: this process's user, root, and `also`."""
    return frozenset({0, os.geteuid(), *also})


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, according to the kernel."""
    credentials = sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    process, user, _ = _CREDENTIALS.unpack(credentials)
    return process, user


def wrong(path: str, what: str | None) -> CannotTakeOver:
    """The error about `path`, or about the process that listens there."""
    return CannotTakeOver(f"--takeover {path}: {what}")


def _temporary(path: str) -> str:
    return f"{path}.{secrets.token_hex(3)}"
