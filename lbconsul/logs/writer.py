"""The log writer: lines wait in a bounded buffer, and a thread writes them.

A thread suits every target: a pipe, a terminal, the socket of the systemd journal, a
file on a disk that hangs, syslog.  O_NONBLOCK would also affect the other processes
that share a descriptor, and has no effect on a regular file.
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define, field

#: The most bytes of waiting lines; further lines are dropped.  At 120 bytes for each
#: connection that is some 20,000 lines.
MOST_WAITING = 4 << 20

#: The memory of a line besides its text (the object, its place in the queue), in bytes.
OVERHEAD = 64

#: How long lines are collected before they are written, in seconds: many lines then
#: cost one system call and one switch of threads.
COLLECT = 0.02

#: The pause before a retry after an error of the target, in seconds.
RETRY = 1.0

#: How long the end of the process waits for unwritten lines, in seconds.
PATIENCE = 2.0

#: About how many bytes the target gets at a time.
AT_ONCE = 1 << 16


class Target(Protocol):
    """Where the writer writes lines.  Only the writer's thread calls `write`."""

    def write(self, lines: deque[bytes]) -> None:
        """Write the lines, and remove each from the left once it is written whole.

        This may block.

        :raises OSError: a write fails; the remaining lines are not written.
        """

    def reopen(self) -> None:
        """Check before the next write whether the path still names the open file."""


@define(eq=False)
class LogWriter:
    """Takes lines from any thread, a signal handler included, and never blocks.

    `tell_dropped` formats the line that reports how many lines were dropped, and why.
    """

    _target: Target
    _tell_dropped: Callable[[int, str], bytes]
    _most: int = MOST_WAITING
    #: Lines dropped since the start.
    dropped: int = 0
    _lines: deque[bytes] = Factory(deque)
    #: The size of `_lines`, in bytes.
    _waiting: int = 0
    #: Dropped lines that the log does not report yet.
    _untold: int = 0
    #: The last error of the target since then.
    _error: str = ""
    #: Guards the writer's state.  Reentrant: a signal handler or a finalizer may log
    #: while its thread holds the lock.
    _lock: threading.RLock = Factory(threading.RLock)
    _empty: threading.Condition = field(init=False)
    #: Locked while the thread has nothing to do; released once to wake it.
    _bell: threading.Lock = Factory(threading.Lock)
    _is_rung: bool = False
    #: Whether the target must be called even without lines, to reopen its file.
    _is_due: bool = False
    _ending: threading.Event = Factory(threading.Event)
    _deadline: float | None = None
    _thread: threading.Thread | None = None

    def __attrs_post_init__(self) -> None:
        self._empty = threading.Condition(self._lock)
        self._bell.acquire()

    def write(self, line: bytes) -> None:
        """Queue a line, which ends with a newline; drop it if the buffer is full.

        Or several lines at once, which stay together.
        """
        size = len(line) + OVERHEAD
        with self._lock:
            # After one dropped line all are dropped until the buffer is written: the
            # line that reports them then stands where they are missing.
            if self._untold or self._waiting + size > self._most:
                self._untold += (count := line.count(b"\n"))
                self.dropped += count
                return
            self._waiting += size
            self._lines.append(line)
            if not self._is_rung:
                self._is_rung = True
                self._bell.release()

    def count_dropped(self, lines: int) -> None:
        """Count lines that a worker dropped and has reported."""
        with self._lock:
            self.dropped += lines

    def reopen(self) -> None:
        """Make the target check whether its file was renamed or removed."""
        self._target.reopen()
        with self._lock:
            self._is_due = True
            if not self._is_rung:
                self._is_rung = True
                self._bell.release()

    def start(self) -> None:
        """Start the thread; a process that forks must call this after the fork."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread = thread
            thread.start()

    def close(self) -> None:
        """Write the waiting lines, for at most `PATIENCE` over all calls."""
        self._ending.set()
        if self._thread is None:
            self._bell.acquire(blocking=False)
            self._write_waiting()
            return
        if self._deadline is None:
            self._deadline = time.monotonic() + PATIENCE
        with self._empty:
            left = max(0.0, self._deadline - time.monotonic())
            self._empty.wait_for(lambda: not self._is_rung, left)

    def _run(self) -> None:
        # Signals are for the main thread: if this thread received one, the main
        # thread would handle it only after its present system call.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            self._bell.acquire()
            self._ending.wait(COLLECT)
            self._write_waiting()

    def _write_waiting(self) -> None:
        while True:
            lines = self._take()
            is_last = not lines
            self._put(lines)
            if is_last and self._is_done():
                return

    def _take(self) -> deque[bytes]:
        """The next lines to write, followed by the report of dropped lines, if any."""
        taken: deque[bytes] = deque()
        size = 0
        with self._lock:
            self._is_due = False
            while self._lines and size < AT_ONCE:
                line = self._lines.popleft()
                size += len(line)
                taken.append(line)
            self._waiting -= size + OVERHEAD * len(taken)
            if self._untold and not self._lines:
                taken.append(self._tell_dropped(self._untold, self._error))
                self._untold, self._error = 0, ""
        return taken

    def _put(self, lines: deque[bytes]) -> None:
        """Write these lines, with retries; at the end of the process without."""
        while True:
            is_end = self._ending.is_set()
            try:
                self._target.write(lines)
                return
            except OSError as error:
                self._error = error.strerror or str(error)
            except Exception as error:  # a bug: these lines would fail again
                self._error = repr(error)
                self._drop(lines)
            if is_end:
                self._drop(lines)
                self._drop(self._lines)
                self._waiting = self._untold = 0  # no target is left to report it to
                return
            self._ending.wait(RETRY)

    def _drop(self, lines: deque[bytes]) -> None:
        with self._lock:
            count = sum(each.count(b"\n") for each in lines)
            self._untold += count
            self.dropped += count
            lines.clear()

    def _is_done(self) -> bool:
        with self._lock:
            if self._lines or self._untold or self._is_due:
                return False
            self._is_rung = False
            self._empty.notify_all()
            return True
