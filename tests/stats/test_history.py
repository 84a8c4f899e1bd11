"""The last hour of mappings."""

import json
from base64 import b64encode
from math import nan

import pytest

from lbconsul.stats.history import COLUMNS, KEPT, STEP, History, Totals
from lbconsul.stats.mapping import MappingStats
from tests.support.instances import an_identity

A = an_identity("a")


def _stats() -> MappingStats:
    stats = MappingStats(accepted=5)
    stats.over(A, 10, 100, 1.0, "--")
    stats.unhappy.total = 2
    return stats


def _recorded(samples: int, per_sample: int = 20, name: str = "80:web") -> History:
    history = History()
    for number in range(samples):
        totals = Totals(accepted=per_sample * number, ended=per_sample * number)
        history.add(name, totals, STEP * number)
        history.end(STEP * number)
    return history


def test_totals_of_processes() -> None:
    """The counters of all processes add up, those of requests included."""
    http = _stats()
    http.use_http().exchanged(A, 200, 0.1, 0.2, 1, 2)
    http.use_http().unhappy.total = 1
    assert Totals.of([_stats(), http]) == Totals(10, 2, 1, 21, 202, 5)
    assert Totals.of([_stats()]).requests is None


def test_rates() -> None:
    """Counters become rates a second; the first sample has none, nor what shrank."""
    history = History()
    for at, totals in (
        (5.0, Totals(100, 90, 1000, 0, 0, 3)),
        (15.0, Totals(150, 130, 1200, 500, 70, 8)),
        (25.0, Totals(140, 130, None, 500, 70, 8)),
    ):
        history.add("80:web", totals, at)
        history.end(at)
    assert history.row("80:web") == {
        "open": [10.0, 20.0, 10.0],
        "connections": [None, 5.0, None],
        "requests": [None, 20.0, None],
        "received": [None, 50.0, 0.0],
        "sent": [None, 7.0, 0.0],
        "failed": [None, 0.5, 0.0],
    }
    assert list(history.times) == [5.0, 15.0, 25.0]


def test_an_hour_is_kept() -> None:
    """However long a gateway runs, an hour is kept."""
    history = _recorded(3 * KEPT)
    row = history.row("80:web")
    assert row is not None
    assert [len(each) for each in row.values()] == [KEPT] * len(COLUMNS)
    assert set(row["connections"]) == {2.0}
    assert list(history.times) == [STEP * n for n in range(2 * KEPT, 3 * KEPT)]


def test_a_gap() -> None:
    """Of the time in which a machine was suspended no rate is known."""
    history = _recorded(3)
    history.add("80:web", Totals(accepted=1000), 1000.0)
    history.end(1000.0)
    row = history.row("80:web")
    assert row is not None
    assert row["connections"][-2:] == [2.0, None]


def test_mappings_come_and_go() -> None:
    """A mapping that is new has a shorter past, one that is gone has none."""
    history = _recorded(3)
    for at in (30.0, 40.0):
        history.add("81:api", Totals(), at)
        history.end(at)
    assert history.row("80:web") is None
    row = history.row("81:api")
    assert row is not None
    assert row["open"] == [None, None, None, 0.0, 0.0]
    history.add("80:web", Totals(accepted=7), 50.0)
    history.add("81:api", Totals(), 50.0)
    history.end(50.0)
    row = history.row("80:web")
    assert row is not None
    assert row["open"] == [None] * 5 + [7.0]


@pytest.mark.parametrize("samples", [2, KEPT - 1, KEPT, KEPT + 1])
def test_half_a_sample(samples: int) -> None:
    """While a sample is being taken, all mappings show the one before."""
    history = _recorded(samples)
    before, times = history.row("80:web"), list(history.times)
    history.add("80:web", Totals(accepted=10**6), STEP * samples)
    assert history.row("80:web") == before
    assert list(history.times) == times
    assert before is not None
    assert len(before["open"]) == len(times)


def test_taken_over() -> None:
    """Another gateway goes on from the history of the first, by a clock of its own."""
    old = _recorded(KEPT + 5)
    old.add("80:web", Totals(accepted=10**6), STEP * (KEPT + 5))  # half a sample
    state = json.loads(json.dumps(old.to_state(1000.0, 1 << 20)))
    new = History.from_state(state, 900.0)
    assert list(new.times) == [each + 100.0 for each in old.times]
    assert new.row("80:web") == old.row("80:web")
    new.add("80:web", Totals(accepted=3), 5000.0)
    new.end(5000.0)
    row = new.row("80:web")
    assert row is not None
    assert (row["connections"][-2:], row["open"][-1]) == ([2.0, None], 3.0)


def test_too_much_to_hand_over() -> None:
    """Of very many mappings those with the most connections are handed over."""
    history = History()
    for number in range(3):
        for name, count in (("80:idle", 0), ("81:busy", 50), ("82:some", 5)):
            history.add(name, Totals(accepted=count * number), STEP * number)
        history.end(STEP * number)
    whole = history.to_state(0.0, 1 << 20)
    assert list(whole["rows"]) == ["81:busy", "82:some", "80:idle"]
    one = sum(map(len, whole["rows"]["81:busy"])) + len("81:busy")
    assert list(history.to_state(0.0, 2 * one)["rows"]) == ["81:busy", "82:some"]
    assert history.to_state(0.0, one - 1)["rows"] == {}


_TEXT = b64encode(b"\0" * 4).decode()


@pytest.mark.parametrize(
    "state",
    [
        None,
        5,
        {},
        {"times": [2.0, 1.0], "rows": {}},
        {"times": [0.0] * (KEPT + 1), "rows": {}},
        {"times": ["x"], "rows": {}},
        {"times": [nan, None], "rows": {}},
        {"times": [1.0], "rows": []},
        {"times": [1.0], "rows": {"80:web": []}},
        {"times": [1.0], "rows": {"80:web": [_TEXT]}},
        {"times": [1.0], "rows": {"80:web": [*["?"] * 6]}},
        {"times": [1.0], "rows": {"80:web": [*["QQ=="] * 6]}},
        {"times": [1.0], "rows": {"80:web": [*[_TEXT] * 5, ""]}},
    ],
    ids=str,
)
def test_nonsense(state: object) -> None:
    """A history that is none is as if there was none."""
    history = History.from_state(state, 0.0)
    assert (list(history.times), history.row("80:web")) == ([], None)
