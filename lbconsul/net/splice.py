"""Bytes moved from socket to socket within the kernel, through pipes (splice(2))."""

import fcntl
import os
import socket
from contextlib import suppress
from functools import cache

#: What a pipe is asked to hold, in bytes.  The kernel may grant less
#: (pipe(7), pipe-max-size and pipe-user-pages-soft).
PIPE_SIZE = 1 << 20

#: A pipe that holds less is not worth it: copying takes as much at a time.
_SMALLEST = 1 << 16

#: How many pipes may hold bytes at a time, and how many are kept while they
#: do not: a move needs one only until its bytes are out again.
_MOST, _KEPT = 64, 4

#: After a refusal so many moves are copies before a pipe is asked for again.
_REFUSAL = 64


#: Pages are moved rather than copied where that can be, and nothing waits.
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class Pipe:
    """A pipe, and how many bytes are in it."""

    __slots__ = ("_entry", "_exit", "_size", "held")

    def __init__(self) -> None:
        """Raises OSError: there is none to be had, or only a small one."""
        self._exit, self._entry = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._size = _grow(self._entry)
        self.held = 0
        if self._size < _SMALLEST:
            self.close()
            raise OSError("the pipe is too small")

    def fill(self, sock: int) -> int:
        """Take what there is to read from a socket: the bytes, 0 at its end.

        :raises OSError: as recv(2) does.
        """
        self.held = os.splice(sock, self._entry, self._size, flags=_FLAGS)
        return self.held

    def drain(self, sock: int) -> None:
        """Send on as much as a socket takes.

        :raises OSError: as send(2) does.
        """
        self.held -= os.splice(self._exit, sock, self.held, flags=_FLAGS)

    def close(self) -> None:
        """Give its descriptors back."""
        os.close(self._entry)
        os.close(self._exit)


def _grow(pipe: int) -> int:
    """Ask for more room; how much there is."""
    with suppress(OSError):  # it stays as large as it is
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    try:
        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 0


class Pipes:
    """Pipes that are lent, each until it is empty again."""

    def __init__(self, most: int = _MOST) -> None:
        self._left = most
        self._free: list[Pipe] = []
        self._refused = 0

    def lend(self) -> Pipe | None:
        """An empty pipe; None if none is to be had, so that one must copy."""
        if self._free:
            return self._free.pop()
        if self._refused:
            self._refused -= 1
            return None
        if not self._left:
            return None
        try:
            pipe = _new_pipe()
        except OSError:
            self._refused = _REFUSAL
            return None
        self._left -= 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take one back; what it holds is lost."""
        if pipe.held or len(self._free) >= _KEPT:
            self._left += 1
            pipe.close()
        else:
            self._free.append(pipe)

    def close(self) -> None:
        """Close those that are not lent."""
        while self._free:
            self._left += 1
            self._free.pop().close()


def _new_pipe() -> Pipe:
    if not _is_allowed():
        raise OSError("no splice(2)")
    return Pipe()


@cache
def _is_allowed() -> bool:
    """Whether the system has splice(2) and lets us: some sandboxes do not.

    :raises OSError: that cannot be said now, for want of descriptors.
    """
    if not hasattr(os, "splice"):
        return False
    pipe = Pipe()
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            return _moves(pipe, ours, theirs)
    finally:
        pipe.close()


def _moves(pipe: Pipe, ours: socket.socket, theirs: socket.socket) -> bool:
    theirs.send(b"x")
    try:
        pipe.fill(ours.fileno())
        pipe.drain(ours.fileno())
    except OSError:
        return False
    return pipe.held == 0
