"""What a worker tells its master of a mapping's HTTP requests."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.instance import Identity
from lbconsul.stats.http import FIRST_BYTE, HTTPStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import KEPT
from lbconsul.workers.traffic_messages import (
    apply_changes,
    changes_of,
    read_traffic,
    write_traffic,
)
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")


def _tell(traffic: MappingTraffic, listener: MappingTraffic) -> None:
    """Let `listener` hear what is new."""
    _, changes = read_traffic(write_traffic(7, traffic)[1:])
    apply_changes(listener, changes)


def _plain(http: HTTPStats) -> dict[str, Any]:
    """All that there is, to be compared; sums of floats without their last digits."""
    row = asdict(http, recurse=False)
    for name in ("_changed", "_is_changed", "unhappy"):
        del row[name]
    for name in ("first_byte", "request"):
        row[name] = (row[name].counts, round(row[name].sum, 6))
    row["accounts"] = {
        identity: (each.classes, each.received, each.sent, each.answered, each.recent)
        for identity, each in http.accounts.items()
    }
    return row


def test_what_a_worker_makes_up() -> None:
    """A text of a worker's is bounded and printable; a number is one that JSON has."""
    _, changes = read_traffic(write_traffic(7, _some())[1:])
    time, *rest = changes["http"]["unhappy"][0]
    rest[3] = "/\x1b" + "a" * 5000
    changes["http"]["unhappy"] = [[time, *rest]]
    heard = MappingTraffic()
    apply_changes(heard, changes)
    [request] = heard.stats.use_http().unhappy.last
    assert len(request.path) < 1100
    assert request.path.startswith("/?a")
    for wrong in ("nan", "inf"):
        changes["http"]["unhappy"] = [[float(wrong), *rest]]
        with pytest.raises(ValueError, match=f"^{wrong} is no number$"):
            apply_changes(MappingTraffic(), changes)


def _some() -> MappingTraffic:
    """Two answers of a, one of our own, and a request that went wrong."""
    traffic = MappingTraffic(active_requests=3, idle_connections=4)
    http = traffic.stats.use_http()
    http.exchanged(A, 200, 0.003, 0.02, 10, 100)
    http.exchanged(A, 502, -1.0, 0.02, 1, 2)
    http.exchanged(None, 503, -1.0, 0.0, 1, 2)
    http.retries, http.reused = 1, 2
    http.compressed, http.compressed_in, http.compressed_out = 1, 99, 9
    http.refused["SC"] += 1
    http.failed(A, 5.0, "answered 502")
    http.unhappy.note(5.0, "192.0.2.1:7", "GET", "h", "/a", 502, A, "SH", 1)
    http.unhappy.note(6.0, "192.0.2.1:7", "GET", "h", "/a", 503, None, "SC")
    return traffic


def test_all_arrives() -> None:
    """The master knows all that its worker does of requests."""
    traffic, listener = _some(), MappingTraffic()
    _tell(traffic, listener)
    http, heard = traffic.stats.use_http(), listener.stats.use_http()
    assert _plain(heard) == _plain(http)
    assert (listener.active_requests, listener.idle_connections) == (3, 4)
    assert heard.unhappy.last == http.unhappy.last
    assert heard.unhappy.total == http.unhappy.total
    assert heard.accounts[A].failing == http.accounts[A].failing


def test_tcp_mappings() -> None:
    """Messages about a mapping that is not in HTTP mode say nothing of requests."""
    assert "http" not in changes_of(MappingTraffic())
    listener = MappingTraffic()
    _tell(MappingTraffic(), listener)
    assert listener.stats.http is None


def test_only_what_is_new() -> None:
    """
    Of thousands of instances those with new requests are sent, and each unhappy request
    once, even if there were more between two messages than are kept.
    """
    traffic, listener = _some(), MappingTraffic()
    _tell(traffic, listener)
    http, heard = traffic.stats.use_http(), listener.stats.use_http()
    http.exchanged(B, 200, 0.003, 0.02, 10, 100)
    http.unhappy.note(7.0, "192.0.2.1:7", "GET", "h", "/a", 502, A, "SH")
    changes = changes_of(traffic)["http"]
    assert [each[2] for each in changes["accounts"]] == ["b"]
    assert [each[0] for each in changes["unhappy"]] == [7.0]
    assert len(json.dumps(changes)) < 1000
    for time in range(10, 10 + 2 * KEPT):
        http.unhappy.note(time, "192.0.2.1:7", "GET", "h", "/a", 502, A, "SH")
    _tell(traffic, listener)
    assert heard.unhappy.last == http.unhappy.last
    assert len(heard.unhappy.last) == KEPT


def test_worker_that_ends() -> None:
    """The requests of a worker that has ended stay counted; what was open does not."""
    traffic = _some()
    past = traffic.close("KW")
    total = MappingTraffic.sum([MappingTraffic(past), _some()])
    assert total.stats.use_http().classes == [0, 0, 2, 0, 0, 4]
    assert (total.active_requests, total.idle_connections) == (3, 4)
    assert [each.time for each in total.stats.use_http().unhappy.last] == [5, 5, 6, 6]


@pytest.mark.parametrize(
    "changes",
    [
        {"sent": None},
        {"classes": [1, 2]},
        {"recent": 5},
        {"first_byte": [[None] * (len(FIRST_BYTE) + 1), 0.0]},
        {"request": [[1, 2], 0.0]},
        {"request": 5},
        {"active_requests": "x"},
        {"refused": ["SC"]},
        {"accounts": [["dc1", "node-1"]]},
        {"accounts": [["dc1", "node-1", "a", [0] * 6, 1, 2, 3, [0] * 3]]},
        {"accounts": [["dc1", "node-1", "a", [0] * 6, 1, 2, 3]]},
        {"unhappy": [[1.0, "c"]]},
        {"unhappy": [["x", "c", "GET", "h", "/", 502, None, "SC", 0]]},
        {"unhappy": [[1.0, "c", "GET", "h", "/", 502, ["dc1"], "SC", 0]]},
    ],
    ids=str,
)
def test_nonsense(changes: dict[str, Any]) -> None:
    """Impossible values are refused."""
    said = changes_of(_some())
    said["http"] |= changes
    with pytest.raises((ValueError, TypeError, AttributeError)):
        apply_changes(MappingTraffic(), said)


def test_nothing_is_left_out() -> None:
    """Changes that lack something are none."""
    for name in changes_of(_some())["http"]:
        changes = changes_of(_some())
        del changes["http"][name]
        with pytest.raises(KeyError):
            apply_changes(MappingTraffic(), changes)


_Count = Callable[[HTTPStats, Identity, int], object]
_COUNTS: dict[str, _Count] = {
    "answered": lambda http, identity, amount: http.exchanged(
        identity, 200 + 100 * (amount % 4), amount / 8, amount / 4, amount, 2 * amount
    ),
    "cut": lambda http, identity, amount: http.exchanged(
        identity, 0, -1.0, amount, 0, 0
    ),
    "refused": lambda http, identity, amount: http.exchanged(
        None, 503, -1.0, amount, 0, amount
    ),
    "moved": lambda http, identity, amount: http.moved(identity, amount, 7),
    "tell": lambda http, identity, amount: None,
}
_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([A, B]),
        st.sampled_from(sorted(_COUNTS)),
        st.integers(0, 5),
    )
)


@given(_EVENTS)
def test_sum_of_workers(events: list[tuple[int, Identity, str, int]]) -> None:
    """Whatever workers count and when they tell it, their master has the sum."""
    workers = [MappingTraffic() for _ in "abc"]
    heard = [MappingTraffic() for _ in "abc"]
    alone = HTTPStats()
    for each in workers:
        each.stats.use_http()
    for number, identity, what, amount in events:
        for http in (workers[number].stats.use_http(), alone):
            _COUNTS[what](http, identity, amount)
        if what == "tell":
            _tell(workers[number], heard[number])
    for worker, listener in zip(workers, heard, strict=True):
        _tell(worker, listener)
    for told in (heard, workers):
        total = HTTPStats()
        for each in told:
            total.add(each.stats.use_http())
        assert _plain(total) == _plain(alone)
        account = MappingTraffic.sum(told).http_account(A)
        assert account.classes == alone.accounts.get(A, account).classes
