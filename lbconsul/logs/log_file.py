"""A log file that is rotated by size, or reopened when another program rotates it.

Several processes may write to it, such as both gateways of a takeover.
"""

import fcntl
import os
import stat
from collections import deque
from contextlib import suppress

from attrs import define, field
from twisted.logger import Logger

from lbconsul.logs.targets import Descriptor

#: The permissions of a new file: clients' addresses are not for other users.
MODE = 0o640


@define(eq=False)
class LogFile:
    """The log file at an absolute `path`; the constructor opens it.

    Before it grows beyond `size` bytes (0: never) it is renamed to ``PATH.1``, that one
    to ``PATH.2``, and so on up to ``PATH.keep``; no directory is read.  A new file
    belongs to `owner` (uid and gid).  With `rotates_when_asked` a request to reopen
    also rotates the file if it was neither renamed nor removed.

    :raises OSError: the file cannot be opened.
    """

    _log = Logger()
    _path: str
    _size: int
    _keep: int
    _owner: tuple[int, int] | None = None
    _rotates_when_asked: bool = False
    _out: Descriptor = field(init=False)
    _is_asked: bool = False
    #: The last failure that was logged.
    _told: str = ""

    def __attrs_post_init__(self) -> None:
        self._out = Descriptor(_open(self._path, MODE, self._owner))

    def write(self, lines: deque[bytes]) -> None:
        """Append whole lines; rotate or reopen the file before if that is due."""
        if lines or self._is_asked:
            self._follow()
            if lines and self._is_full(sum(map(len, lines))):
                self._rotate()
        self._out.write(lines)

    def reopen(self) -> None:
        """Check before the next write whether the file was renamed or removed."""
        self._is_asked = True

    def _follow(self) -> None:
        """Reopen the path if it names another file now, or rotate if asked to."""
        asked, self._is_asked = self._is_asked, False
        if not stat.S_ISREG(os.fstat(self._out.fileno).st_mode):
            return  # a device or a pipe is not rotated
        if self._is_elsewhere():
            self._open_again()
        elif asked and self._rotates_when_asked:
            self._rotate()

    def _is_elsewhere(self) -> bool:
        ours = os.fstat(self._out.fileno)
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)

    def _is_full(self, more: int) -> bool:
        now = os.fstat(self._out.fileno)
        return bool(
            self._size
            and stat.S_ISREG(now.st_mode)
            and now.st_size > 0
            and now.st_size + more > self._size
        )

    def _rotate(self) -> None:
        """Rotate the files, unless another process does so or has done so."""
        if not _lock(self._out.fileno):
            return
        try:
            if not self._is_elsewhere():
                for number in range(self._keep - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        os.rename(self._older(number), self._older(number + 1))
                os.rename(self._path, self._older(1))
            self._open_again()
        except OSError as error:
            self._tell("cannot be rotated, so it grows", error)
        # If the old file was closed, its lock is released already.
        with suppress(OSError):
            fcntl.flock(self._out.fileno, fcntl.LOCK_UN)

    def _older(self, number: int) -> str:
        return f"{self._path}.{number}"

    def _open_again(self) -> None:
        """Open the path again; a new file gets the old one's owner and permissions.

        :raises OSError: it cannot be opened, and the old file is removed.
        """
        before = os.fstat(self._out.fileno)
        owner = before.st_uid, before.st_gid
        try:
            opened = _open(self._path, stat.S_IMODE(before.st_mode), owner)
        except OSError as error:
            if not before.st_nlink:
                raise  # lines written to a removed file are lost
            self._tell("cannot be opened; the previous file stays in use", error)
            return
        os.close(self._out.fileno)
        self._out = Descriptor(opened)
        self._told = ""

    def _tell(self, what: str, error: OSError) -> None:
        line = f"log file {self._path}: {what}: {error.strerror}"
        if line != self._told:
            self._told = line
            self._log.warn("{line}", line=line)


def _lock(fileno: int) -> bool:
    """Lock the file; False if another process holds the lock.

    On a file system without locks the result is True.
    """
    try:
        fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _open(path: str, mode: int, owner: tuple[int, int] | None) -> int:
    """Open a file to append to it; a new one gets `mode` and `owner`."""
    is_new = not os.path.exists(path)
    # Non-blocking: a FIFO without a reader is an error then.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    opened = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if is_new:
        os.fchmod(opened, mode)
        if owner is not None:
            with suppress(PermissionError):
                os.fchown(opened, *owner)
    return opened
