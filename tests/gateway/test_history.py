"""Records what each mapping did in the last hour."""

import json
from typing import Any, cast

import pytest
from attrs import Factory, define
from twisted.internet.task import Clock

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.gateway.history import HistoryRecorder
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.process.clock import WallClock
from lbconsul.stats.history import KEPT, STEP
from lbconsul.stats.mapping import MappingStats
from lbconsul.takeover.protocol import MAX_LINE


@define(eq=False)
class _Gateway:
    """A gateway whose mappings all have the same two processes."""

    sweeper: TimeSlicer
    mappings: list[Mapping]
    parts: list[MappingStats] = Factory(lambda: [MappingStats(), MappingStats()])

    @property
    def data_plane(self) -> "_Gateway":
        return self

    def stats_of(self, mapping: Mapping) -> list[MappingStats]:
        return self.parts


class _Stage:
    def __init__(self, mappings: int = 2, ahead: float = 10_000.0) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        texts = [f"{80 + number}:web" for number in range(mappings)]
        every = list(configure(mappings=texts).mappings)
        self.gateway = _Gateway(TimeSlicer(self.clock), every)
        wall = WallClock(self.clock.seconds, lambda: self.clock.seconds() + ahead)
        self.recorder = HistoryRecorder(self.clock, cast(Any, self.gateway), wall=wall)

    def record(self, samples: int) -> None:
        for _ in range(samples):
            for part in self.gateway.parts:
                part.accepted += 50
            self.clock.pump([0.125] * 80)


def test_rates() -> None:
    """Every ten seconds there is a sample of each mapping, over all processes."""
    stage = _Stage()
    stage.recorder.startService()
    stage.record(3)
    one, other = stage.recorder.mappings()
    assert (one.name, other.name) == ("80:web", "81:web")
    assert one.columns["connections"] == [None, *[pytest.approx(10.0)] * 3]
    assert stage.recorder.times()[0] == 10_100.0
    assert len(stage.recorder.times()) == 4
    assert [each.name for each in stage.recorder.mappings(["81:web", "?"])] == [
        "81:web"
    ]


def test_a_mapping_that_is_gone() -> None:
    """What is not served any more is not shown, and takes no memory."""
    stage = _Stage()
    stage.recorder.startService()
    stage.record(2)
    del stage.gateway.mappings[0]
    stage.record(1)
    assert [each.name for each in stage.recorder.mappings()] == ["81:web"]
    assert list(stage.recorder.mappings(["80:web"])) == []


def test_it_ends() -> None:
    """A recorder that is stopped leaves nothing to be called."""
    stage = _Stage(mappings=100)
    stage.recorder.startService()
    stage.clock.advance(STEP)
    stage.recorder.stopService()
    stage.clock.advance(1.0)  # the slicer's pause
    assert not stage.clock.getDelayedCalls()


def test_taken_over() -> None:
    """A successor goes on from there."""
    old, new = _Stage(), _Stage(ahead=9_950.0)
    old.recorder.startService()
    old.record(5)
    new.clock.advance(100.0)  # the same time by the wall clock
    new.recorder.inherit(old.recorder.state())
    new.recorder.startService()
    new.record(2)
    row = next(new.recorder.mappings()).columns
    assert row["connections"] == [
        None, *[pytest.approx(10.0)] * 5, None, *[pytest.approx(10.0)] * 2,
    ]  # fmt: skip
    assert new.recorder.times() == sorted(new.recorder.times())
    new.recorder.inherit("nonsense")
    assert new.recorder.times() == []


def test_bounded() -> None:
    """An hour is kept, and no more than a quarter of a takeover's line is told."""
    stage = _Stage(mappings=100)
    for part in stage.gateway.parts:
        part.use_http()
    stage.recorder.startService()
    for _ in range(KEPT + 10):
        stage.clock.advance(STEP)
    assert len(stage.recorder.times()) == KEPT
    rows = stage.recorder.state()["rows"]
    assert 80 < len(rows) < 100
    assert len(json.dumps(stage.recorder.state())) < MAX_LINE / 3
