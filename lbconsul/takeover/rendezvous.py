"""The place where gateways meet: a UNIX socket that its user alone may use."""

import os
import secrets
import socket
import stat
import struct
from collections.abc import Iterable

from lbconsul.errors import CannotTakeOver
from lbconsul.net.unix_socket import bind_unix

#: How many may wait in the kernel to be heard.
_BACKLOG = 64

#: struct ucred, as SO_PEERCRED tells it: process, user, group.
_CREDENTIALS = struct.Struct("iII")


def check_place(path: str) -> None:
    """See that gateways can meet at `path`.

    :raises CannotTakeOver: they cannot, and this is why.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise wrong(path, "this system does not tell who is at the other end")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise wrong(path, f"there is no directory {folder}")
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise wrong(path, f"the directory {folder} is not writable")
    # The kernel's limit, which counts the zero at the end; we begin with a longer
    # name.
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
        raise wrong(path, "what is there is no socket")


def listen_at(path: str) -> socket.socket:
    """A socket that listens at `path`, in the place of the one that did before.

    Connecting to `path` succeeds at any moment, if it did before: the socket
    gets another name first and is then renamed.  Nobody but its user may ever use
    it.

    :raises OSError: it cannot be had.
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
    """Whether somebody listens at `path`, however busy."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue is full
            return True
        except OSError:
            return False
        return True


def trusted_users(also: Iterable[int] = ()) -> frozenset[int]:
    """Whom we deal with: ourselves, root, and `also`."""
    return frozenset({0, os.geteuid(), *also})


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as the kernel has them."""
    said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(said)
    return process, user


def wrong(path: str, what: str | None) -> CannotTakeOver:
    """What is wrong with `path`, or with whoever is there."""
    return CannotTakeOver(f"--takeover {path}: {what}")


def _temporary(path: str) -> str:
    return f"{path}.{secrets.token_hex(3)}"
