"""The targets of the log writer: a descriptor, syslog, or a file object."""

import os
import select
import stat
import syslog
from collections import deque
from itertools import islice
from typing import TextIO

from attrs import define, field

from lbconsul.logs.writer import AT_ONCE


@define(eq=False)
class Descriptor:
    """An open pipe, terminal, socket or file, blocking or not."""

    fileno: int
    #: The most bytes in one system call.  Writes of PIPE_BUF bytes into a pipe are
    #: atomic (pipe(7)): lines of several processes do not mix.
    _most: int = field(init=False)
    #: Whether an error left a line partly written.
    _is_torn: bool = False

    def __attrs_post_init__(self) -> None:
        is_file = stat.S_ISREG(os.fstat(self.fileno).st_mode)
        self._most = AT_ONCE if is_file else select.PIPE_BUF

    def write(self, lines: deque[bytes]) -> None:
        """Write whole lines, many in one system call."""
        while lines:
            if self._is_torn:
                self._write(b"\n")
                self._is_torn = False
            data, written = self._next(lines), 0
            try:
                while written < len(data):
                    written += self._write(data[written:] if written else data)
            finally:
                self._is_torn = _take_off(lines, written)

    def reopen(self) -> None:
        """There is nothing to reopen."""

    def _next(self, lines: deque[bytes]) -> bytes:
        """The lines for one system call, at least one."""
        count, size = 0, 0
        for line in lines:
            size += len(line)
            if count and size > self._most:
                break
            count += 1
        return b"".join(islice(lines, count))

    def _write(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self.fileno, data)
            except BlockingIOError:  # another process may have set O_NONBLOCK
                poll = select.poll()
                poll.register(self.fileno, select.POLLOUT)
                poll.poll()


def _take_off(lines: deque[bytes], written: int) -> bool:
    """Remove the written bytes' lines; return whether the bytes end within a line."""
    while lines and written >= len(lines[0]):
        written -= len(lines.popleft())
    if not written:
        return False
    whole = lines[0].rfind(b"\n", 0, written) + 1  # several lines may stand together
    lines[0] = lines[0][whole:]
    return written > whole


@define(eq=False)
class Syslog:
    """The C library's syslog(3).

    Each line begins with its priority, as ``<6>``.
    """

    _prefix: str

    def __attrs_post_init__(self) -> None:
        syslog.openlog(self._prefix, syslog.LOG_PID, syslog.LOG_DAEMON)

    def write(self, lines: deque[bytes]) -> None:
        """Write each line; syslog(3) does not report lines that it loses."""
        while lines:
            # An event of several lines: a traceback.
            for record in lines[0].decode().split("\n")[:-1]:
                priority, _, text = record.removeprefix("<").partition(">")
                syslog.syslog(int(priority), text.replace("\0", "?"))
            lines.popleft()

    def reopen(self) -> None:
        """There is nothing to reopen."""


@define(eq=False)
class Stream:
    """A file object without a descriptor."""

    _file: TextIO

    def write(self, lines: deque[bytes]) -> None:
        """Write each line."""
        while lines:
            self._file.write(lines[0].decode())
            lines.popleft()
        self._file.flush()

    def reopen(self) -> None:
        """There is nothing to reopen."""
