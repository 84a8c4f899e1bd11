"""How many descriptors the gateway takes."""

import resource

import pytest

from lbconsul.process.fd_limit import (
    OF_SELECT,
    connections,
    descriptor_limit,
    raise_descriptor_limit,
)

INFINITY = resource.RLIM_INFINITY
MOST = 1 << 20


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), (4096, 4096)),
        ((4096, 4096), (4096, 4096)),
        ((1024, INFINITY), (MOST, INFINITY)),
        ((1024, 1 << 30), (MOST, 1 << 30)),
        ((1 << 29, 1 << 30), (1 << 29, 1 << 30)),
        ((INFINITY, INFINITY), (INFINITY, INFINITY)),
    ],
)
def test_raised(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """The soft limit becomes the hard one, a million at most, and never less."""
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    told = raise_descriptor_limit()
    assert limits[-1] == after
    assert told == min(after[0] if after[0] != INFINITY else MOST, MOST)


@pytest.mark.parametrize(
    ("limits", "told"),
    [((256, 4096), 256), ((INFINITY, INFINITY), MOST), ((1 << 30, 1 << 30), MOST)],
)
def test_as_it_is(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], told: int
) -> None:
    """A worker looks what its master has set, and leaves it alone."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    assert descriptor_limit() == told


def test_connections() -> None:
    """Each connection takes two descriptors, and some are for other things."""
    assert connections(1024) == 412
    assert connections(256) == 96
    assert connections(100) == 37
    assert connections(3) == connections(0) == 1


def test_reactor_with_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reactor that stands on select(2) could not use more than it knows."""
    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    assert raise_descriptor_limit(OF_SELECT) == 1024
    assert limits[-1] == (1024, 4096)
    assert raise_descriptor_limit(OF_SELECT) == 1024
    assert len(limits) == 2
