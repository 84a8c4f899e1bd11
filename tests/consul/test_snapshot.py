"""The last good answer on disk."""

import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.balance.selection import Question
from lbconsul.consul.snapshot import INTERVAL, Kept, Snapshot, check_directory
from lbconsul.errors import ConfigError

WEB = Question("web")


class Stage:
    """A directory, a clock, and what the log says."""

    def __init__(self, directory: Path, said: Sequence[LogEvent]) -> None:
        self.directory = directory
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.said = said

    def snapshot(self, question: Question = WEB) -> Snapshot:
        """As a gateway has it that has just been started."""
        return Snapshot(self.clock, self.directory, question)

    def texts(self) -> list[str]:
        """What the log says."""
        return [str(formatEvent(event)) for event in self.said]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A state directory that does not exist yet."""
    with capturedLogs() as said:
        yield Stage(tmp_path / "state", said)


def test_first_start(stage: Stage) -> None:
    """Where nothing was kept there is nothing, and nothing to say of it."""
    assert stage.snapshot().read() is None
    assert stage.texts() == []


def test_next_start(stage: Stage) -> None:
    """What one gateway kept the next one reads, with when that was."""
    stage.snapshot().keep(b'[{"any": "thing"}]\nof any kind')
    assert stage.snapshot().read() == Kept(b'[{"any": "thing"}]\nof any kind', 1000.0)


def test_owner_only(stage: Stage) -> None:
    """Nobody else may look into it, whatever lay there before."""
    snapshot = stage.snapshot()
    stage.directory.mkdir(mode=0o700)
    left = snapshot.path.with_suffix(".new")
    left.write_text("left by a gateway that was killed")
    left.chmod(0o666)
    snapshot.keep(b"[]")
    assert stat.S_IMODE(os.stat(snapshot.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(stage.directory).st_mode) == 0o700
    assert os.listdir(stage.directory) == [snapshot.path.name]


def test_each_question_has_its_own(stage: Stage) -> None:
    """Questions that differ in anything do not share a file, whatever their names."""
    questions = [
        WEB,
        Question("web", datacenter="dc2"),
        Question("web", filter="x"),
        Question("web", near="n"),
        Question("../../etc/passwd"),
        Question("ü" * 300),
    ]
    for number, question in enumerate(questions):
        stage.snapshot(question).keep(str(number).encode())
    for number, question in enumerate(questions):
        kept = stage.snapshot(question).read()
        assert kept is not None
        assert kept.body == str(number).encode()
    assert {path.parent for path in stage.directory.iterdir()} == {stage.directory}
    assert len(list(stage.directory.iterdir())) == len(questions)


def test_churn(stage: Stage) -> None:
    """A service that churns is written every few seconds, and at the end."""
    snapshot = stage.snapshot()
    for number in range(10):
        snapshot.keep(str(number).encode())
    assert stage.snapshot().read() == Kept(b"0", 1000.0)
    stage.clock.advance(INTERVAL)
    assert stage.snapshot().read() == Kept(b"9", 1000.0 + INTERVAL)
    snapshot.keep(b"10")
    snapshot.stop()
    assert stage.snapshot().read() == Kept(b"10", 1000.0 + INTERVAL)
    assert stage.clock.getDelayedCalls() == []


def test_same_again(stage: Stage) -> None:
    """What is on disk already is not written again."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[]")
    stage.clock.advance(INTERVAL)
    snapshot.path.unlink()
    snapshot.keep(b"[]")
    assert not snapshot.path.exists()
    assert stage.clock.getDelayedCalls() == []
    snapshot.stop()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: b"", "Expecting value"),
        (lambda data: data[:-1], "it is not whole"),
        (lambda data: data.replace(b'": 1,', b'": 2,', 1), "it is of version 2"),
        (lambda data: data.replace(b'"web"', b'"mail"'), "of another question"),
        (lambda data: b"{}\n[]", "lbconsul snapshot"),
        (lambda data: b"7\n[]", "not subscriptable"),
        (lambda data: b"\xff\xfe\n", "utf"),
        (lambda data: b"[" * 100_000, "recursion"),
    ],
)
def test_broken(stage: Stage, spoil: object, why: str) -> None:
    """One that is broken is set aside, told, and never fatal; the next one is good."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[1, 2, 3]")
    assert callable(spoil)
    snapshot.path.write_bytes(spoil(snapshot.path.read_bytes()))
    assert stage.snapshot().read() is None
    assert why in stage.texts()[0]
    assert "is set aside" in stage.texts()[0]
    names = [path.suffix for path in stage.directory.iterdir()]
    assert names == [".broken"]
    assert stage.snapshot().read() is None
    assert len(stage.texts()) == 1
    stage.snapshot().keep(b"[]")
    assert stage.snapshot().read() is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_anything(stage: Stage, data: bytes) -> None:
    """Whatever lies there is read or set aside."""
    stage.directory.mkdir(exist_ok=True)
    stage.snapshot().path.write_bytes(data)
    assert stage.snapshot().read() is None


def test_unreadable(stage: Stage) -> None:
    """One that cannot be read is told, in one line."""
    stage.snapshot().path.mkdir(parents=True)
    assert stage.snapshot().read() is None
    [line] = stage.texts()
    assert "cannot be read: Is a directory" in line


def test_cannot_be_set_aside(stage: Stage) -> None:
    """If it cannot even be renamed, that is told as well, and that is all."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[]")
    snapshot.path.write_bytes(b"?")
    snapshot.path.with_suffix(".broken").mkdir()
    (snapshot.path.with_suffix(".broken") / "x").mkdir()
    assert stage.snapshot().read() is None
    assert "cannot be set aside" in stage.texts()[1]


def test_unwritable(stage: Stage) -> None:
    """A disk that does not take it is told once, until it does again."""
    stage.directory.write_text("a file where the directory should be")
    snapshot = stage.snapshot()
    for number in range(3):
        snapshot.keep(str(number).encode())
        stage.clock.advance(INTERVAL)
    [line] = stage.texts()
    assert "cannot be written" in line
    stage.directory.unlink()
    snapshot.keep(b"[]")
    assert stage.snapshot().read() is not None
    snapshot.stop()


def test_directory(tmp_path: Path) -> None:
    """A place where nothing can be kept is found out at the start."""
    (tmp_path / "file").write_text("")
    check_directory(str(tmp_path))
    check_directory(str(tmp_path / "new"))
    for bad in ("file", "file/sub", "no/such"):
        with pytest.raises(ConfigError, match=r"--state-dir .*: .* is no directory"):
            check_directory(str(tmp_path / bad))
    if os.geteuid():
        with pytest.raises(ConfigError, match="may not be written to"):
            check_directory("/proc/1")


def test_directory_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is somebody else's as well."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(ConfigError, match="may not be written to"):
        check_directory(str(tmp_path))


def test_for_people(stage: Stage) -> None:
    """Its name and first line say what it is."""
    snapshot = stage.snapshot(Question("web", datacenter="dc2"))
    snapshot.keep(b"[]")
    assert snapshot.path.name.startswith("web-")
    head = json.loads(snapshot.path.read_bytes().partition(b"\n")[0])
    assert (head["question"], head["time"]) == ("web,dc=dc2", 1000.0)
