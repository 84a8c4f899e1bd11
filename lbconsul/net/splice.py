"""Moves bytes between sockets within the kernel, through pipes (splice(2))."""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from functools import cache

#: Requested capacity of a pipe, in bytes.  The kernel may grant less
#: (pipe(7), pipe-max-size and pipe-user-pages-soft).
PIPE_SIZE = 1 << 20

#: Least useful capacity, in bytes: a copy moves as much at a time.
_SMALLEST = 1 << 16

#: Most pipes open at a time, and most idle pipes kept: a splice needs a pipe only
#: until its bytes are out again.
_MOST, _KEPT = 64, 4

#: Requests to deny after a failure to open a pipe, before trying again.
_REFUSAL = 64


#: splice(2) does not support the socket, or lacks memory: no byte is lost, and its
#: user is to copy instead.
CANNOT_SPLICE = frozenset({errno.EINVAL, errno.ENOMEM, errno.EPERM})

#: Move pages rather than copy where possible, and never block.
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class Pipe:
    """A pipe; `held` is the number of bytes in it."""

    __slots__ = ("_entry", "_exit", "held")

    def __init__(self) -> None:
        """:raises OSError: no pipe can be opened, or only a small one."""
        self._exit, self._entry = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        if _grow(self._entry) < _SMALLEST:
            self.close()
            raise OSError("the pipe is too small")

    def fill(self, sock: int, most: int = PIPE_SIZE) -> int:
        """Move at most so many readable bytes from a socket, and no more than fit.

        Returns their number, 0 at the socket's end.

        :raises OSError: as recv(2) does.
        """
        self.held = os.splice(sock, self._entry, most, flags=_FLAGS)
        return self.held

    def drain(self, sock: int) -> None:
        """Move as many bytes to a socket as it takes.

        :raises OSError: as send(2) does.
        """
        self.held -= os.splice(self._exit, sock, self.held, flags=_FLAGS)

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self._entry)
        os.close(self._exit)


def _grow(pipe: int) -> int:
    """Request `PIPE_SIZE`; returns the capacity in bytes, 0 if unknown."""
    with suppress(OSError):  # the pipe keeps its size
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    try:
        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 0


class Pipes:
    """A pool of pipes, each lent until it is empty again."""

    def __init__(self, most: int = _MOST) -> None:
        self._left = most
        self._free: list[Pipe] = []
        self._refused = 0

    def lend(self) -> Pipe | None:
        """An empty pipe; None if there is none, and the relay must copy."""
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
        """Take back a pipe; bytes that it still holds are lost."""
        if pipe.held or len(self._free) >= _KEPT:
            self._left += 1
            pipe.close()
        else:
            self._free.append(pipe)

    def close(self) -> None:
        """Close the pipes that are not lent."""
        while self._free:
            self._left += 1
            self._free.pop().close()


def _new_pipe() -> Pipe:
    if not _is_allowed():
        raise OSError("no splice(2)")
    return Pipe()


@cache
def _is_allowed() -> bool:
    """Whether splice(2) exists and works: some sandboxes forbid it.

    :raises OSError: not known yet, for lack of descriptors.
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
