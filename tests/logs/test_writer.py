"""The log writer: it never blocks, loses nothing silently, and keeps the order."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import Factory, define

from lbconsul.logs import writer as module
from lbconsul.logs.targets import Descriptor
from lbconsul.logs.writer import OVERHEAD, LogWriter
from tests.support.waiting import PATIENCE, eventually


def told(count: int, error: str) -> bytes:
    """The line about lines that were dropped."""
    return f"{count} dropped {error}\n".encode()


@define(eq=False)
class Reader:
    """A pipe that is read only on demand, and what came through it."""

    read: int
    write: int
    got: bytes = b""

    def take(self, until: bytes) -> list[bytes]:
        """Read until this comes; all lines so far."""
        return self.take_while(lambda lines: until not in self.got)

    def take_while(self, condition: Callable[[list[bytes]], bool]) -> list[bytes]:
        """Read while the condition holds for all lines so far; these lines."""
        end = time.monotonic() + 30
        while condition(lines := self.got.splitlines()):
            assert time.monotonic() < end, self.got[-500:]
            self.got += os.read(self.read, 1 << 20)
        return lines


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A pipe."""
    read, write = os.pipe()
    yield Reader(read, write)
    os.close(read)  # and a late writer gets an error


@define(eq=False)
class Sick:
    """A target that fails for as long as the test wants it to."""

    error: Exception | None = None
    got: list[bytes] = Factory(list)
    tried: int = 0
    reopened: int = 0

    def write(self, lines: deque[bytes]) -> None:
        self.tried += 1
        if self.error is not None and lines:
            raise self.error
        self.got += lines
        lines.clear()

    def reopen(self) -> None:
        self.reopened += 1


def test_lines_keep_their_order(reader: Reader) -> None:
    """Lines come out in the order in which they were logged, from all threads."""
    writer = LogWriter(Descriptor(reader.write), told)
    writer.start()
    writer.start()  # which is no second one

    def log(name: str) -> None:
        for number in range(300):
            writer.write(b"%s %d\n" % (name.encode(), number))

    others = [threading.Thread(target=log, args=(name,)) for name in "ab"]
    for each in others:
        each.start()
    log("c")
    for each in others:
        each.join()
    writer.write(b"end\n")
    lines = reader.take(b"end\n")
    for name in (b"a", b"b", b"c"):
        numbers = [int(each[2:]) for each in lines if each.startswith(name)]
        assert numbers == list(range(300))
    assert writer.dropped == 0


def _told_of(lines: list[bytes]) -> int:
    """How many lines these are, with the dropped ones."""
    gaps = [int(each.split()[0]) for each in lines if each.endswith(b" dropped ")]
    return len(lines) - len(gaps) + sum(gaps)


def test_a_reader_that_stalls(reader: Reader) -> None:
    """
    While the log is not read nothing waits for it; what does not fit is dropped, and
    where it is missing stands how much it is, before what comes later.
    """
    most = 100_000
    writer = LogWriter(Descriptor(reader.write), told, most)
    writer.start()
    for number in range(10_000):
        writer.write(b"%05d %s\n" % (number, b"x" * 93))
    assert writer.dropped > 0
    assert writer._waiting <= most
    # A quick thread makes room meanwhile: then there is more than one gap.
    lines = reader.take_while(lambda lines: _told_of(lines) < 10_000)
    number = 0
    for each in lines:
        if each.endswith(b" dropped "):
            number += int(each.split()[0])
        else:
            assert int(each[:5]) == number
            number += 1
    assert number == 10_000
    writer.write(b"later\n")
    assert reader.take(b"later\n")[-1] == b"later"


def test_bounded_in_bytes() -> None:
    """Short lines do not take more memory than long ones: the overhead counts."""
    writer = LogWriter(Sick(), told, 10 * (OVERHEAD + 1))
    for _ in range(12):
        writer.write(b"\n")
    assert (len(writer._lines), writer.dropped) == (10, 2)
    writer.write(b"\n")  # a gap stays one gap
    assert writer.dropped == 3


def test_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error, such as of a full disk, lines wait until it is over."""
    monkeypatch.setattr(module, "RETRY", 0.01)
    target = Sick(OSError(errno.ENOSPC, "No space left on device"))
    writer = LogWriter(target, told, 2 * (OVERHEAD + 4))
    writer.start()
    writer.write(b"one\n")
    eventually(lambda: target.tried > 2, "it tries again")
    for _ in range(5):
        writer.write(b"two\n")
    assert writer.dropped == 3
    target.error = None
    eventually(lambda: len(target.got) == 4, "all is written")
    assert target.got == [
        b"one\n", b"two\n", b"two\n", b"3 dropped No space left on device\n",
    ]  # fmt: skip


def test_a_bug_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that fail in another way are dropped, counted, and logged."""
    monkeypatch.setattr(module, "RETRY", 0.01)
    target = Sick(ValueError("odd"))
    writer = LogWriter(target, told)
    writer.start()
    writer.write(b"one\n")
    eventually(lambda: writer.dropped >= 1, "it is dropped")
    target.error = None
    eventually(lambda: bool(target.got), "it is told")
    assert b"dropped ValueError('odd')" in target.got[0]


def test_the_end(reader: Reader) -> None:
    """At the end all that waits is written, and what comes after it too."""
    writer = LogWriter(Descriptor(reader.write), told)
    writer.start()
    for name in (b"one\n", b"two\n"):
        writer.write(name)
        writer.close()
        assert reader.take(name)[-1] == name.strip()


def test_the_end_of_what_never_began() -> None:
    """Where the thread was not started, the end itself writes."""
    target = Sick()
    writer = LogWriter(target, told)
    for name in (b"one\n", b"two\n"):
        writer.write(name)
        writer.close()
        assert target.got[-1] == name


def test_a_reader_that_stalls_at_the_end(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the process waits for a reader that stalls, but once, and shortly."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    writer = LogWriter(Descriptor(reader.write), told)
    writer.start()
    for _ in range(3000):
        writer.write(b"x" * 99 + b"\n")
    begun = time.monotonic()
    writer.close()
    assert time.monotonic() - begun >= 0.2
    deadline = writer._deadline
    writer.close()
    assert writer._deadline == deadline


@pytest.mark.parametrize("error", [OSError(errno.EIO, "failed"), ValueError("odd")])
def test_an_error_at_the_end(error: Exception) -> None:
    """At the end an error is tried once more, and what cannot be written counts as
    dropped; nothing else is waited for.
    """
    target = Sick(error)
    writer = LogWriter(target, told)
    writer.start()
    for _ in range(2000):
        writer.write(b"x" * 99 + b"\n")
    eventually(lambda: target.tried > 0, "it has tried")
    writer.close()
    assert not writer._is_rung
    assert (writer.dropped >= 2000, target.got) == (True, [])
    assert target.tried < 100


def test_reopen() -> None:
    """To reopen its file the target need not wait for the next line."""
    target = Sick()
    writer = LogWriter(target, told)
    writer.start()
    writer.reopen()
    eventually(lambda: target.tried > 0, "it is asked")
    assert target.reopened == 1


def test_a_signal_handler(reader: Reader) -> None:
    """A signal handler that logs, whatever it interrupts, does not hang."""
    writer = LogWriter(Descriptor(reader.write), told)
    writer.start()
    before = signal.signal(signal.SIGALRM, lambda *_: writer.write(b"tick\n"))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(3000):
            writer.write(b"line\n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    writer.write(b"end\n")
    lines = reader.take(b"end\n")
    assert lines.count(b"line") == 3000
    assert b"tick" in lines


def test_lines_together_that_are_dropped() -> None:
    """Of lines that are queued together each one counts."""
    writer = LogWriter(Sick(), told, most=100)
    writer.write(b"a\nb\n")
    writer.write(b"c" * 100 + b"\nd\ne\n")
    writer.write(b"f\n")
    assert writer.dropped == 4


def test_lines_dropped_elsewhere() -> None:
    """Lines that workers dropped count."""
    writer = LogWriter(Sick(), told)
    writer.count_dropped(7)
    assert writer.dropped == 7


@pytest.mark.process
def test_a_process_that_ends(tmp_path: Path) -> None:
    """A thread that hangs in a write does not keep the process from its end."""

    program = (
        "import os\n"
        "from lbconsul.logs import writer as m\n"
        "from lbconsul.logs.targets import Descriptor\n"
        "m.PATIENCE = 0.1\n"
        "w = m.LogWriter(Descriptor(1), lambda n, e: b'')\n"
        "w.start()\n"
        "for _ in range(9999): w.write(b'x' * 99 + b'\\n')\n"
        "w.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()
