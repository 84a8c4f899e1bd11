"""Limits that are reached, and what the log says of them."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from lbconsul.proxy.saturation import (
    BURST,
    DESCRIPTORS,
    LASTS,
    MAPPING,
    PROCESS,
    SUM_UP_EVERY,
    Full,
    Saturation,
)

WEB, ROOM, NONE = Full(MAPPING, "80:web"), Full(PROCESS), Full(DESCRIPTORS)


@pytest.fixture
def logs() -> Iterator[Sequence[LogEvent]]:
    """All that is logged."""
    with capturedLogs() as events:
        yield events


def _lines(logs: Sequence[LogEvent]) -> list[str]:
    return [str(formatEvent(event)) for event in logs]


class Looked:
    """A saturation that is looked after four times a second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.full: dict[Full, int] = {}
        self.saturation = Saturation(self.clock, lambda: self.full)

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.saturation.tick()


def test_a_limit_reached_for_a_second(logs: Sequence[LogEvent]) -> None:
    """A limit reached for a second is logged, once, and so is its end."""
    looked = Looked()
    looked.wait(1)
    looked.full = {WEB: 100, ROOM: 9900, NONE: 0}
    looked.wait(LASTS)
    assert (looked.saturation.full, _lines(logs)) == ((), [])
    looked.wait(60)
    assert looked.saturation.full == (NONE, WEB, ROOM)
    assert _lines(logs) == [
        "80:web: full: max-connections=100 is reached; new clients wait in the kernel's"
        " queue",
        "full: this process has 9900 connections, as many as its descriptors allow; new"
        " clients of all mappings wait in the kernel's queue",
    ]
    looked.full = {}
    looked.wait(LASTS)
    counts = [len(looked.saturation.full)]
    looked.wait(LASTS)
    counts.append(len(looked.saturation.full))
    assert counts == [3, 0]
    assert sorted(_lines(logs)[2:]) == [
        "80:web: no longer full, after 61 s",
        "descriptors, ports and memory suffice again, after 61 s",
        "no longer full: this process has room for connections again, after 61 s",
    ]


def test_for_a_moment(logs: Sequence[LogEvent]) -> None:
    """A limit reached for moments only, again and again, is not logged at all."""
    looked = Looked()
    for _ in range(40):
        looked.full = {WEB: 100}
        looked.wait(0.75)
        looked.full = {}
        looked.wait(0.25)
    assert (looked.saturation.full, _lines(logs)) == ((), [])


def test_not_full_for_a_moment(logs: Sequence[LogEvent]) -> None:
    """Nor is it the end when there is room for a moment only."""
    looked = Looked()
    for _ in range(40):
        looked.full = {WEB: 100}
        looked.wait(1.5)
        looked.full = {}
        looked.wait(0.75)
    assert looked.saturation.full == (WEB,)
    assert len(logs) == 1


def test_bounds(logs: Sequence[LogEvent]) -> None:
    """However much is full, and how often, the log is not."""
    looked = Looked()
    for _ in range(20):
        looked.full = {Full(MAPPING, f"{port}:web"): 1 for port in range(100)}
        looked.wait(2)
        looked.full = {}
        looked.wait(2.5)
    looked.saturation.stop()
    assert len(logs) < BURST + 90 * (0.2 + 1 / SUM_UP_EVERY) + 3
    assert any("more of the same: " in line for line in _lines(logs))
    assert looked.clock.getDelayedCalls() == []
