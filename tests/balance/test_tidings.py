"""What can be told of a mapping while its connections are open."""

import json
from typing import Any

import pytest

from lbconsul.balance.tidings import Tidings
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")


def some() -> Tidings:
    """Two connections to a, one of them over, and a client that waits; b is aside."""
    tidings = Tidings(queued=1)
    figures = tidings.figures
    figures.accepted = 3
    for _ in range(2):
        figures.connected(A, 0.01)
    figures.over(A, 10, 100, 1.0, "--")
    tidings.live[A] = (1, 5)
    tidings.aside[0, B] = ("it failed", 77.0)
    tidings.used.add(0)
    return tidings


def test_bytes() -> None:
    """Bytes of connections that are open count with those of others."""
    tidings = some()
    assert tidings.bytes(A) == (11, 105)
    assert tidings.bytes(B) == (0, 0)
    assert tidings.all_bytes == (11, 105)
    tidings.live[B] = (2, 3)
    assert tidings.bytes(B) == (2, 3)
    assert tidings.all_bytes == (13, 108)


def test_news() -> None:
    """All arrives at another process; what is over is forgotten there."""
    tidings, listener = some(), Tidings()
    listener.heard(json.loads(json.dumps(tidings.news())))
    assert (listener.queued, listener.live) == (1, tidings.live)
    assert listener.aside == tidings.aside
    assert listener.used == {0}
    assert listener.bytes(A) == (11, 105)
    tidings.live, tidings.aside, tidings.queued = {}, {}, 0
    listener.heard(json.loads(json.dumps(tidings.news())))
    assert (listener.live, listener.aside, listener.queued) == ({}, {}, 0)
    assert listener.all_bytes == (10, 100)


@pytest.mark.parametrize(
    "news",
    [
        {"queued": "x"},
        {"live": [["dc1", "n", "a", 1]]},
        {"aside": [[0, "dc1", "n", "a", "why", "since"]]},
        {"aside": [[0, "dc1", "n", "a", "why", None]]},
        {"aside": [[0, "dc1", "n", "why", 5.0]]},
        {"used": ["x"]},
        {"used": 1},
    ],
    ids=str,
)
def test_nonsense(news: dict[str, Any]) -> None:
    """What cannot be is no news."""
    with pytest.raises((ValueError, TypeError)):
        Tidings().heard(Tidings().news() | news)


def test_sum() -> None:
    """What several processes can tell is one, and each stays what it was."""
    one, other = some(), some()
    other.live[B] = (7, 7)
    other.aside, other.used = {(1, A): ("by hand", 5.0)}, {1}
    total = Tidings.sum([one, other])
    assert total.live == {A: (2, 10), B: (7, 7)}
    assert (total.queued, total.figures.accepted) == (2, 6)
    assert total.aside == {(0, B): ("it failed", 77.0), (1, A): ("by hand", 5.0)}
    assert total.used == {0, 1}
    assert total.all_bytes == (29, 217)
    assert (one.live, one.figures.accepted) == ({A: (1, 5)}, 3)


def test_close() -> None:
    """Of a process that died no connection stays open, and no byte is lost."""
    tidings = some()
    before = tidings.all_bytes
    figures = tidings.close("KD")
    assert figures.endings == {"--": 1, "KD": 2}
    assert (figures.received, figures.sent) == before
    assert (tidings.all_bytes, tidings.bytes(A)) == (before, (11, 105))
    assert tidings.close("KD").endings == {"--": 1, "KD": 2}
