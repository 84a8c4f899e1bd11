"""The state directory: files that a gateway keeps on disk for its next start."""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from attrs import Factory, define
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from lbconsul.errors import ConfigError

Result = TypeVar("Result")

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: How long the end of the process waits for the disk, in seconds.
PATIENCE = 2.0

#: The permissions of group and others to write to a file or a directory.
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_directory(path: str) -> None:
    """Check that the process's effective user can keep state in the directory.

    It need not exist yet.  Whether an existing one is writable shows at the first
    write.

    :raises ConfigError: it is no directory and cannot be made, belongs to another user,
        or is writable by others: the state that a gateway starts with decides where
        its clients' bytes go.
    """
    users = {os.geteuid(), 0}
    try:
        why = _obstacle(Path(path), users)
    except OSError as error:
        why = f"cannot be accessed: {error.strerror or error}"
    if why:
        raise ConfigError(f"--state-dir {path}: {why}")


def _obstacle(path: Path, users: Collection[int]) -> str:
    try:
        known = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _cannot_be_made(path.parent)
    if stat.S_ISLNK(known.st_mode):
        if known.st_uid not in users:
            return f"it is a symbolic link of user {known.st_uid}"
        with suppress(FileNotFoundError):
            known = path.stat()
    if not stat.S_ISDIR(known.st_mode):
        return f"{path} is not a directory"
    return _foreign(known, users)


def _cannot_be_made(parent: Path) -> str:
    if not parent.is_dir():
        return f"{parent} is not a directory"
    # A read-only disk may be so only temporarily.
    is_read_only = os.statvfs(parent).f_flag & os.ST_RDONLY
    effective = os.access in os.supports_effective_ids
    may = os.access(parent, os.W_OK | os.X_OK, effective_ids=effective)
    return "" if may or is_read_only else f"it cannot be made in {parent}"


def _foreign(known: os.stat_result, users: Collection[int]) -> str:
    """Why other users own or may write to a file; empty if none does."""
    if known.st_uid not in users:
        ours = " or ".join(map(str, sorted(users)))
        return f"it belongs to user {known.st_uid} instead of {ours}"
    if known.st_mode & _BY_OTHERS:
        return f"others may write to it (mode {known.st_mode & 0o777:o}): chmod go-w"
    return ""


@define(eq=False)
class Disk:
    """Runs functions that may block on a disk, one after the other, in its own thread.

    A disk that hangs blocks neither the reactor nor its thread pool; the daemon thread
    does not delay the end of the process.
    """

    _reactor: Any
    _jobs: SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None] = Factory(
        SimpleQueue
    )
    _thread: Thread | None = None

    def run(self, function: Callable[[], Result]) -> Deferred[Result]:
        """Queue a function; fires with its result or its exception.

        Before the reactor runs the function is called at once: there is nothing to
        block yet.
        """
        if not getattr(self._reactor, "running", False):
            return execute(function)
        done: Deferred[Result] = Deferred()
        self._jobs.put((function, done))
        if self._thread is None:
            self._thread = Thread(target=self._work, name="disk", daemon=True)
            self._thread.start()
        return done

    def idle(self) -> Deferred[None]:
        """Fires when all functions are done, or after `PATIENCE`; the thread ends."""
        if self._thread is None:
            return execute(lambda: None)
        done = self.run(lambda: None)
        self._jobs.put(None)
        self._thread = None
        return done.addTimeout(PATIENCE, self._reactor).addErrback(lambda _: None)

    def _work(self) -> None:
        for function, done in iter(self._jobs.get, None):
            try:
                result = function()
            except Exception:
                self._reactor.callFromThread(_fail, done, Failure())
            else:
                self._reactor.callFromThread(_succeed, done, result)


def _succeed(done: Deferred[Result], result: Result) -> None:
    if not done.called:  # it may have timed out
        done.callback(result)


def _fail(done: Deferred[Any], failure: Failure) -> None:
    if not done.called:
        done.errback(failure)


@define(eq=False)
class StateDir:
    """Private files of the process's user in one directory, replaced atomically.

    The methods block on the disk: call them through `Disk.run`.  They raise `OSError`.
    """

    path: Path

    def read(self, name: str, most: int) -> bytes | None:
        """The content of a file; None if it does not exist.

        :raises OSError: the file is not regular, others than the process's user and
            root own it or may write to it, or it is longer than `most` bytes.
        """
        try:
            directory = self._open()
        except FileNotFoundError:
            return None
        try:
            return _content(directory, name, most)
        except FileNotFoundError:
            return None
        finally:
            os.close(directory)

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file, or replace it atomically; make the directory if needed."""
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        directory = self._open()
        new = f"{name}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)  # it may have other permissions
            with open(os.open(new, _WRITE, 0o600, dir_fd=directory), "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
                ours = os.fstat(file.fileno())
            # In a takeover two gateways may write it: the one that began last wins.
            with suppress(FileNotFoundError):
                there = os.stat(new, dir_fd=directory, follow_symlinks=False)
                if os.path.samestat(ours, there):
                    os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            os.close(directory)

    def rename(self, name: str, other: str) -> None:
        """Rename a file within the directory."""
        directory = self._open()
        try:
            os.replace(name, other, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            os.close(directory)

    def _open(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        directory = os.open(self.path, flags)
        why = _foreign(os.fstat(directory), {os.geteuid(), 0})
        if why:
            os.close(directory)
            raise _unfit(why)
        return directory


def _content(directory: int, name: str, most: int) -> bytes:
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unfit("it is a symbolic link") from None
        raise
    try:
        known = os.fstat(descriptor)
        if not stat.S_ISREG(known.st_mode):
            raise _unfit("not a regular file")
        why = _foreign(known, {os.geteuid(), 0})
        if why:
            raise _unfit(why)
        if known.st_size > most:
            raise _unfit(f"longer than {most} bytes")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def _unfit(why: str) -> OSError:
    return OSError(errno.EPERM, why)
