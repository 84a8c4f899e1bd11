"""A log file: rotated by size, and reopened when another program rotates it.

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

#: The permissions of a new file: others have no business with who connected.
MODE = 0o640


@define(eq=False)
class LogFile:
    """The file at an absolute `path`; making it opens it.

    Before it grows beyond `size` bytes (0: never) it becomes ``PATH.1``, that one
    ``PATH.2``, and so on up to ``PATH.keep``; that is, no directory is ever read.
    It belongs to `owner` (uid and gid) if it is new.  With `rotates_when_asked` it is
    also rotated when it is to be reopened, and was neither renamed nor removed.

    :raises OSError: it cannot be opened.
    """

    _log = Logger()
    _path: str
    _size: int
    _keep: int
    _owner: tuple[int, int] | None = None
    _rotates_when_asked: bool = False
    _out: Descriptor = field(init=False)
    _is_asked: bool = False
    #: What of it failed, and was told.
    _told: str = ""

    def __attrs_post_init__(self) -> None:
        self._out = Descriptor(_open(self._path, MODE, self._owner))

    def write(self, lines: deque[bytes]) -> None:
        """Append whole lines, to another file if it is time for that."""
        if lines or self._is_asked:
            self._follow()
            if lines and self._is_full(sum(map(len, lines))):
                self._rotate()
        self._out.write(lines)

    def reopen(self) -> None:
        """Before the next write look whether the file was renamed or removed."""
        self._is_asked = True

    def _follow(self) -> None:
        """Write to the file that has the name now."""
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
        """Rename the files, unless another process is at it, or has done it."""
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
            self._tell("cannot be rotated, and grows", error)
        # The lock is gone with the file that was closed, if one was.
        with suppress(OSError):
            fcntl.flock(self._out.fileno, fcntl.LOCK_UN)

    def _older(self, number: int) -> str:
        return f"{self._path}.{number}"

    def _open_again(self) -> None:
        """Open the file of that name; it is like the one before, if it is new.

        :raises OSError: it cannot be opened, and the one before has no name any more.
        """
        before = os.fstat(self._out.fileno)
        owner = before.st_uid, before.st_gid
        try:
            opened = _open(self._path, stat.S_IMODE(before.st_mode), owner)
        except OSError as error:
            if not before.st_nlink:
                raise  # what is written to it is lost
            self._tell("cannot be opened; the one it was before is written to", error)
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
    """Whether no other process has the lock; some file systems have no locks."""
    try:
        fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _open(path: str, mode: int, owner: tuple[int, int] | None) -> int:
    """Open a file to append to it; `mode` and `owner` are those of a new one."""
    is_new = not os.path.exists(path)
    # Not blocking: a FIFO that nobody reads is an error then.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    opened = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if is_new:
        os.fchmod(opened, mode)
        if owner is not None:
            with suppress(PermissionError):
                os.fchown(opened, *owner)
    return opened
