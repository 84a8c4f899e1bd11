"""What an operator has drained, on disk."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.instance import Identity
from lbconsul.gateway.drain_file import LONGEST, MOST, DrainFile, from_rows, to_rows
from tests.support.instances import an_identity
from tests.support.running_proxy import ReactorThread

A, B = an_identity("a"), an_identity("b")


class Thread:
    """Runs a function when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], Deferred[None]]] = []

    def __call__(self, function: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.waiting.append((function, done))
        return done

    def run(self) -> None:
        """Do what waits, one after the other."""
        while self.waiting:
            function, done = self.waiting.pop(0)
            try:
                function()
            except OSError as error:
                done.errback(error)
            else:
                done.callback(None)


def file_in(directory: Path) -> tuple[DrainFile, Thread]:
    """A file that is written when the test says so."""
    thread = Thread()
    return DrainFile(Clock(), directory, run=thread), thread


def said(action: Callable[[], object]) -> list[str]:
    """What the log has to say of it."""
    with capturedLogs() as events:
        action()
    return [formatEvent(each) for each in events]


def test_kept(tmp_path: Path) -> None:
    """Drains are read again, from a file that is its owner's only."""
    file, thread = file_in(tmp_path / "state")
    assert file.read() == {}
    odd = Identity("dc 1", "n/1", "\u00fc\udcff\n")
    file.keep({A: 10, odd: 0})
    thread.run()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert file_in(tmp_path / "state")[0].read() == {A: 10, odd: 0}
    file.keep({})
    thread.run()
    assert file.read() == {}
    assert os.listdir(tmp_path / "state") == ["drained.json"]


def test_one_version_after_the_other(tmp_path: Path) -> None:
    """While one version is written only the last one waits, and the end for that."""
    file, thread = file_in(tmp_path)
    file.keep({A: 1})
    file.keep({A: 1, B: 2})
    file.keep({B: 2})
    assert len(thread.waiting) == 1
    ended: list[object] = []
    file.stop().addCallback(ended.append)
    assert not ended
    thread.run()
    assert ended == [None]
    assert file.read() == {B: 2}
    file.stop().addCallback(ended.append)
    assert len(ended) == 2


def test_in_a_thread(tmp_path: Path) -> None:
    """The reactor does not wait for the disk."""
    with ReactorThread() as running:
        file = DrainFile(running.reactor, tmp_path)
        running.call(file.keep, {A: 10})
        running.outcome(file.stop)
        assert file.read() == {A: 10}


def test_cannot_be_written(tmp_path: Path) -> None:
    """A failed write is logged once, until a write works again."""
    place = tmp_path / "state"
    place.write_text("")
    file, thread = file_in(place)

    def keep() -> None:
        file.keep({A: 1})
        thread.run()

    [line] = said(keep)
    assert line.startswith(
        f"{file.path}: cannot be written, so a restart loses drains: "
    )
    assert said(keep) == []
    place.unlink()
    assert said(keep) == []
    assert file.read() == {A: 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'{"lbconsul drained": 2, "drained": []}',
        b'{"lbconsul drained": 1, "drained": {}}',
        b'{"lbconsul drained": 1, "drained": [["a", "b", "c"]]}',
        b'{"lbconsul drained": 1, "drained": [["a", "b", "c", -1]]}',
        b'{"lbconsul drained": 1, "drained": [["a", "b", 3, 1]]}',
        b" " * 30_000_000,
        json.dumps(
            {
                "lbconsul drained": 1,
                "drained": [["a", "b", str(n), 1] for n in range(MOST + 1)],
            }
        ).encode(),
    ],
    ids=range(12),
)
def test_an_invalid_file(tmp_path: Path, content: bytes) -> None:
    """An invalid file is logged, and nothing is drained."""
    file, _ = file_in(tmp_path)
    file.path.write_bytes(content)
    [line] = said(lambda: file.read() == {} or pytest.fail("something is drained"))
    assert "drained.json: unusable, so nothing is drained: " in line


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink("x", path)]
)
def test_a_path_that_is_no_file(tmp_path: Path, make: Callable[[Any], None]) -> None:
    """A path that is no regular file is not opened, and holds nothing up."""
    file, _ = file_in(tmp_path)
    make(file.path)
    assert len(said(file.read)) == 1


def test_rows() -> None:
    """Drains from a takeover are checked like those from a file."""
    assert from_rows(to_rows({A: 1, B: 0})) == {A: 1, B: 0}
    with pytest.raises(ValueError, match="a row is not a drained registration"):
        from_rows([["dc", "n", "x" * (LONGEST + 1), 1]])
