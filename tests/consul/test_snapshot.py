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

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.consul.snapshot import (
    INTERVAL,
    REFRESH,
    Kept,
    Snapshot,
    SnapshotStore,
)
from lbconsul.process.clock import WallClock
from tests.support.running_proxy import ReactorThread

WEB = ServiceQuery("web")


class Stage:
    """A directory, a clock, and what the log says."""

    def __init__(self, directory: Path, said: Sequence[LogEvent]) -> None:
        self.directory = directory
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.said = said
        #: By how much the clock on the wall is ahead of the other one.
        self.ahead = 0.0

    def snapshot(self, query: ServiceQuery = WEB) -> Snapshot:
        """As a gateway has it that has just been started."""
        return Snapshot(self.clock, self.store(), query)

    def store(self) -> SnapshotStore:
        """Where it is."""
        wall = WallClock(self.clock.seconds, lambda: self.clock.seconds() + self.ahead)
        return SnapshotStore(self.clock, self.directory, wall)

    def read(self, query: ServiceQuery = WEB) -> Kept | None:
        """What a gateway finds that has just been started."""
        found: list[Kept] = []
        self.snapshot(query).read(found.append)
        return found[0] if found else None

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
    assert stage.read() is None
    assert stage.texts() == []


def test_next_start(stage: Stage) -> None:
    """The next gateway reads what one stored, with its time."""
    stage.snapshot().keep(b'[{"any": "thing"}]\nof any kind')
    assert stage.read() == Kept(b'[{"any": "thing"}]\nof any kind', 1000.0)


def test_owner_only(stage: Stage) -> None:
    """No other user may read the file, whatever was there before."""
    snapshot = stage.snapshot()
    stage.directory.mkdir(mode=0o700)
    left = snapshot.path.with_name(f"{snapshot.name}.new")
    left.write_text("left by a gateway that was killed")
    left.chmod(0o666)
    snapshot.keep(b"[]")
    assert stat.S_IMODE(os.stat(snapshot.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(stage.directory).st_mode) == 0o700
    assert os.listdir(stage.directory) == [snapshot.path.name]


def test_each_query_has_its_own(stage: Stage) -> None:
    """Questions that differ in anything do not share a file, whatever their names."""
    queries = [
        WEB,
        ServiceQuery("web", datacenter="dc2"),
        ServiceQuery("web", filter="x"),
        ServiceQuery("web", near="n"),
        ServiceQuery("../../etc/passwd"),
        ServiceQuery("ü" * 300),
    ]
    for number, query in enumerate(queries):
        stage.snapshot(query).keep(str(number).encode())
    for number, query in enumerate(queries):
        kept = stage.read(query)
        assert kept is not None
        assert kept.body == str(number).encode()
    assert {path.parent for path in stage.directory.iterdir()} == {stage.directory}
    assert len(list(stage.directory.iterdir())) == len(queries)


def test_churn(stage: Stage) -> None:
    """A service that churns is written every few seconds, and at the end."""
    snapshot = stage.snapshot()
    for number in range(10):
        snapshot.keep(str(number).encode())
    assert stage.read() == Kept(b"0", 1000.0)
    stage.clock.advance(INTERVAL)
    assert stage.read() == Kept(b"9", 1000.0)
    snapshot.keep(b"10")
    snapshot.stop()
    assert stage.read() == Kept(b"10", 1000.0 + INTERVAL)
    assert stage.clock.getDelayedCalls() == []


def test_confirmed(stage: Stage) -> None:
    """Its age counts from when Consul last said so, for which it is written now and
    then, and at the end; not for each answer.
    """
    snapshot = stage.snapshot()
    written = []
    for _ in range(10):
        snapshot.keep(b"[]")
        written.append(stage.read())
        stage.clock.advance(REFRESH / 4)
    times = [each.time for each in written if each is not None]
    assert times == [1000.0] * 4 + [1000.0 + REFRESH] * 4 + [1000.0 + 2 * REFRESH] * 2
    snapshot.stop()
    assert stage.read() == Kept(b"[]", 1000.0 + 9 * REFRESH / 4)
    assert stage.clock.getDelayedCalls() == []


def test_confirmed_no_more(stage: Stage) -> None:
    """An answer that Consul has not confirmed since keeps its age, also at the end."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[]")
    stage.clock.advance(10 * REFRESH)
    before = snapshot.path.stat().st_mtime_ns
    snapshot.stop()
    assert stage.read() == Kept(b"[]", 1000.0)
    assert snapshot.path.stat().st_mtime_ns == before


def test_large(stage: Stage) -> None:
    """A large service that changes all the time does not keep the disk busy."""
    snapshot = stage.snapshot()
    large = b" " * (20 << 20)
    for body in (large, b"[]"):
        snapshot.keep(body)
    stage.clock.advance(19)
    assert stage.read() == Kept(large, 1000.0)
    stage.clock.advance(1)
    assert stage.read() == Kept(b"[]", 1000.0)
    snapshot.stop()


@pytest.mark.parametrize("ahead", [-600.0, 600.0, 1.7e9])
def test_the_clock_was_set(stage: Stage, ahead: float) -> None:
    """An age is what the clock says, and nothing is younger than new."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[]")
    stage.clock.advance(10.0)
    stage.ahead = ahead
    kept = stage.read()
    assert kept is not None
    assert stage.snapshot().age(kept) == max(0.0, 10.0 + ahead)
    snapshot.stop()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: b"", "Expecting value"),
        (lambda data: data[:-1], "its checksum is wrong"),
        (lambda data: data.replace(b'": 1,', b'": 2,', 1), "unknown version 2"),
        (lambda data: data.replace(b'"web"', b'"mail"'), "to another query"),
        (lambda data: b"{}\n[]", "lbconsul snapshot"),
        (lambda data: b"7\n[]", "not subscriptable"),
        (lambda data: b"\x80\n", "utf-8"),
        (lambda data: b"[" * 100_000, "recursion"),
    ],
)
def test_a_broken_snapshot(stage: Stage, spoil: object, why: str) -> None:
    """A broken snapshot is renamed, logged, and never fatal; the next one is good."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[1, 2, 3]")
    assert callable(spoil)
    snapshot.path.write_bytes(spoil(snapshot.path.read_bytes()))
    assert stage.read() is None
    assert why in stage.texts()[0]
    assert "is unusable" in stage.texts()[0]
    names = [path.suffix for path in stage.directory.iterdir()]
    assert names == [".broken"]
    assert stage.read() is None
    assert len(stage.texts()) == 1
    stage.snapshot().keep(b"[]")
    assert stage.read() is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_anything(stage: Stage, data: bytes) -> None:
    """Any file content is read or renamed."""
    stage.directory.mkdir(exist_ok=True)
    stage.snapshot().path.write_bytes(data)
    assert stage.read() is None


def test_unreadable(stage: Stage) -> None:
    """An unreadable snapshot is one line of log."""
    stage.snapshot().path.mkdir(parents=True)
    assert stage.read() is None
    [line] = stage.texts()
    assert "cannot be read: not a regular file" in line


def test_cannot_be_set_aside(stage: Stage) -> None:
    """A failure to rename it is logged as well, and nothing else happens."""
    snapshot = stage.snapshot()
    snapshot.keep(b"[]")
    snapshot.path.write_bytes(b"?")
    snapshot.path.with_suffix(".broken").mkdir()
    (snapshot.path.with_suffix(".broken") / "x").mkdir()
    assert stage.read() is None
    assert "cannot be renamed" in stage.texts()[1]


def test_unwritable(stage: Stage) -> None:
    """A disk that fails is logged once for all queries, until it works again."""
    stage.directory.write_text("a file where the directory should be")
    store = stage.store()
    names = ("web", "mail", "shop")
    snapshots = [Snapshot(stage.clock, store, ServiceQuery(each)) for each in names]
    for times in (1, 2):
        for number in range(3):
            for each in snapshots:
                each.keep(str(number).encode())
            stage.clock.advance(INTERVAL)
        assert len(stage.texts()) == times
        assert "snapshots cannot be written" in stage.texts()[-1]
        stage.directory.unlink()
        for each in snapshots:
            each.keep(f"good {times}".encode())
        stage.clock.advance(INTERVAL)
        assert all(each.path.exists() for each in snapshots)
        for each in snapshots:
            each.path.unlink()
        stage.directory.rmdir()
        stage.directory.write_text("")
    for each in snapshots:
        each.stop()
    assert stage.clock.getDelayedCalls() == []


def test_while_the_reactor_runs(tmp_path: Path) -> None:
    """The disk is read and written in a thread; what waits is written at the end."""
    with ReactorThread() as running, capturedLogs() as said:
        clock = running.reactor
        store = SnapshotStore(clock, tmp_path)
        snapshot = Snapshot(clock, store, WEB)
        running.call(snapshot.keep, b"[1]")
        running.call(snapshot.keep, b"[2]")
        running.call(snapshot.stop)
        running.outcome(store.stop)
        found: list[Kept] = []
        running.call(Snapshot(clock, store, WEB).read, found.append)
        running.outcome(store.stop)
        assert [each.body for each in found] == [b"[2]"]
        os.unlink(snapshot.path)
        os.mkfifo(snapshot.path)
        running.call(Snapshot(clock, store, WEB).read, found.append)
        running.outcome(store.stop)
        assert len(found) == 1
        assert "not a regular file" in str(formatEvent(said[-1]))


def test_for_people(stage: Stage) -> None:
    """Its name and first line say what it is."""
    snapshot = stage.snapshot(ServiceQuery("web", datacenter="dc2"))
    snapshot.keep(b"[]")
    assert snapshot.path.name.startswith("web-")
    head = json.loads(snapshot.path.read_bytes().partition(b"\n")[0])
    assert (head["question"], head["time"]) == ("web,dc=dc2", 1000.0)
