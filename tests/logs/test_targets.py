"""What lines can be written to: whole lines, to whatever it is."""

import errno
import os
import select
import socket
import syslog
import threading
from collections import deque
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from lbconsul.logs.targets import Descriptor, Stream, Syslog
from lbconsul.logs.writer import AT_ONCE


def written_to(write: Any, size: int, count: int) -> list[int]:
    """How much goes into each system call, of so many lines of that size."""
    calls: list[int] = []
    lines = deque(b"x" * (size - 1) + b"\n" for _ in range(count))
    target = Descriptor(write)
    real = os.write

    def noted(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return real(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", noted)
        target.write(lines)
    assert not lines
    return calls


class TestDescriptor:
    """A descriptor that is open."""

    def test_a_pipe(self) -> None:
        """Into a pipe go whole lines that are not mixed with another process's."""
        read, write = os.pipe()
        calls = written_to(write, 1000, 10)
        assert calls == [4000, 4000, 2000]
        assert max(calls) <= select.PIPE_BUF
        assert os.read(read, 1 << 16) == (b"x" * 999 + b"\n") * 10
        # A longer line is one call all the same.
        assert written_to(write, 9000, 2) == [9000, 9000]
        os.close(read)
        os.close(write)

    def test_a_file(self, tmp_path: Path) -> None:
        """Into a file go many lines at a time, from where it is."""
        with (tmp_path / "log").open("wb") as file:
            file.write(b"before\n")
            file.flush()
            assert written_to(file.fileno(), 1000, 70) == [65_000, 5000]
        assert AT_ONCE == 65_536
        assert (tmp_path / "log").read_bytes().startswith(b"before\nx")

    def test_not_blocking(self) -> None:
        """A descriptor that another process made non-blocking is waited for."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            lines = deque([b"x" * 2_000_000 + b"\n"])
            thread = threading.Thread(
                target=Descriptor(ours.fileno()).write, args=(lines,)
            )
            thread.start()
            got = 0
            while got < 2_000_001:
                got += len(theirs.recv(1 << 16))
            thread.join()
        assert not lines

    def test_a_torn_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line of which only a part could be written is written whole after that,
        on a line of its own; and no line before it is written twice.
        """
        read, write = os.pipe()
        target, lines = Descriptor(write), deque([b"one\n", b"two\n", b"three\n"])
        real, calls = os.write, 0

        def fails(fd: int, data: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                return real(fd, data[:6])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fails)
            with pytest.raises(OSError, match="No space"):
                target.write(lines)
            with pytest.raises(OSError, match="No space"):
                target.write(lines)
        assert list(lines) == [b"two\n", b"three\n"]
        target.write(lines)
        target.reopen()
        assert os.read(read, 100) == b"one\ntw\ntwo\nthree\n"
        os.close(read)
        os.close(write)

    def test_a_torn_line_among_several(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No line is written twice either where several stand together."""
        read, write = os.pipe()
        target, lines = Descriptor(write), deque([b"one\ntwo\nthree\n", b"four\n"])
        real, left = os.write, [6]

        def fails(fd: int, data: bytes) -> int:
            if left:
                return real(fd, data[: left.pop()])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fails)
            with pytest.raises(OSError, match="No space"):
                target.write(lines)
        assert list(lines) == [b"two\nthree\n", b"four\n"]
        target.write(lines)
        assert os.read(read, 100) == b"one\ntw\ntwo\nthree\nfour\n"
        os.close(read)
        os.close(write)

    def test_nobody_reads_any_more(self) -> None:
        """A pipe that was closed is an error, and the lines are still there."""
        read, write = os.pipe()
        os.close(read)
        lines = deque([b"one\n"])
        with pytest.raises(BrokenPipeError):
            Descriptor(write).write(lines)
        assert lines
        os.close(write)


def test_syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line goes to syslog with its priority, whatever is in it."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *given: calls.append(given))
    monkeypatch.setattr(syslog, "syslog", lambda *given: calls.append(given))
    target = Syslog("gateway")
    target.write(deque(["<6>a\x0b b\0\n<1>\tc\u2028 d\n".encode(), b"<6>e > f\n"]))
    target.reopen()
    assert calls == [
        ("gateway", syslog.LOG_PID, syslog.LOG_DAEMON),
        (6, "a\x0b b?"), (1, "\tc\u2028 d"), (6, "e > f"),
    ]  # fmt: skip


def test_a_file_object() -> None:
    """A file object without a descriptor can be a target."""
    file = StringIO()
    target = Stream(file)
    target.write(deque(["ä\n".encode(), b"b\n"]))
    target.reopen()
    assert file.getvalue() == "ä\nb\n"
