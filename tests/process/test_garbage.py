"""Collections of garbage stay short, however much there is."""

import gc
from collections.abc import Iterator

import pytest

from lbconsul.process import garbage
from lbconsul.process.garbage import ShortCollections


@pytest.fixture
def collections() -> Iterator[ShortCollections]:
    """The process's own, which is left as it was."""
    thresholds = gc.get_threshold()
    found = ShortCollections()
    found.start()
    yield found
    found.stop()
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Circle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.other = self


@pytest.mark.usefixtures("collections")
def test_what_took_long_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Objects that a long full collection has seen are frozen: no later one looks at them
    again.
    """
    monkeypatch.setattr(garbage, "LONG", 0.0)
    held = [[each] for each in range(1000)]
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() >= before + len(held)


@pytest.mark.usefixtures("collections")
def test_short_ones_are_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a full collection is short nothing is frozen, and garbage is found."""
    monkeypatch.setattr(garbage, "LONG", 1000.0)
    before = gc.get_freeze_count()
    Circle()
    assert gc.collect() > 0
    gc.collect(0)
    assert gc.get_freeze_count() <= before  # some of the frozen ones may end
