"""What a worker tells its master of a mapping's traffic."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyConnection
from lbconsul.stats.upstream import FIRST_BYTE
from lbconsul.workers.messages import TRAFFIC
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
    data = write_traffic(7, traffic)
    assert data[:1] == TRAFFIC
    number, changes = read_traffic(data[1:])
    assert number == 7
    apply_changes(listener, changes)


def _plain(stats: MappingStats) -> Any:
    """All that there is, to be compared."""
    accounts = {
        identity: (each.total, each.received, each.sent, each.failures)
        for identity, each in stats.accounts.items()
    }
    times = (stats.connect, stats.first_byte, stats.connection)
    counts = [each.counts for each in times]
    return (
        stats.accepted,
        stats.received,
        stats.sent,
        stats.endings,
        counts,
        accounts,
    )


def _some() -> MappingTraffic:
    """Two connections to a, one of them over, and a client that waits; b is ejected."""
    traffic = MappingTraffic(queued=1)
    stats = traffic.stats
    stats.accepted = 3
    for _ in range(2):
        stats.connected(A, 0.01)
    stats.over(A, 10, 100, 3.0, "cD")
    stats.moved(A, 1, 5)
    stats.turned_away("SC")
    stats.failed(B, 90.0, "refused")
    stats.account(A).first_bytes[2] = stats.account(A).answered = 1
    for client, upstream in (("192.0.2.1:5", None), ("192.0.2.2:5", B)):
        stats.unhappy.note(
            UnhappyConnection(9.0, client, upstream, "SC", "why", 1, 2.0)
        )
    traffic.ejected[0, B] = Ejection("it failed", 80.0, 95.5), 77.0
    traffic.used.add(0)
    return traffic


def test_all_arrives() -> None:
    """The master knows all that its worker does; what is over is forgotten there."""
    traffic, listener = _some(), MappingTraffic()
    _tell(traffic, listener)
    assert _plain(listener.stats) == _plain(traffic.stats)
    assert listener.stats.accounts[A].connect_time == 0.01
    assert listener.stats.connection.sum == 3.0
    assert (listener.queued, listener.ejected) == (1, traffic.ejected)
    assert listener.used == {0}
    assert listener.stats.accounts == traffic.stats.accounts
    assert listener.stats.unhappy.last == traffic.stats.unhappy.last
    assert listener.stats.unhappy.total == 2
    traffic.ejected, traffic.queued = {}, 0
    _tell(traffic, listener)
    assert (listener.ejected, listener.queued) == ({}, 0)
    assert _plain(listener.stats) == _plain(traffic.stats)


def test_only_what_changed() -> None:
    """
    Of thousands of instances only those that changed are sent. The others stay as they
    were sent last.
    """
    traffic, listener = MappingTraffic(), MappingTraffic()
    traffic.stats.connected(A, 0.01)
    _tell(traffic, listener)
    traffic.stats.connected(B, 0.01)
    changes = changes_of(traffic)
    assert [each[2] for each in changes["accounts"]] == ["b"]
    apply_changes(listener, changes)
    _tell(traffic, listener)
    assert _plain(listener.stats) == _plain(traffic.stats)


@pytest.mark.parametrize(
    "changes",
    [
        {"accepted": None},
        {"endings": ["--"]},
        {"connect": [[1, 2], 0.0]},
        {"connection": 5},
        {"accounts": [["dc1", "node-1"]]},
        {"accounts": [["dc1", "node-1", "a", 1, 2, 3, 4]]},
        {"accounts": [["dc1", "node-1", "a", [1, 2, 3, 4, 5.0], [0], [0], 0, None]]},
        {"unhappy": [[1.0, "c", ["dc1", "n"], "SC", "", 0, 1.0, 1]]},
        {"first_byte": [[None] * (len(FIRST_BYTE) + 1), 0.0]},
        {"queued": "x"},
        {"ejected": [[0, "dc1", "n", "a", "why", 4.0, 5.0, "since"]]},
        {"ejected": [[0, "dc1", "n", "a", "why", 4.0, None, 5.0]]},
        {"ejected": [[0, "dc1", "n", "why", 4.0, 5.0, 6.0]]},
        {"used": ["x"]},
        {"used": 1},
    ],
    ids=str,
)
def test_nonsense(changes: dict[str, Any]) -> None:
    """Impossible values are refused."""
    said = changes_of(MappingTraffic()) | changes
    with pytest.raises((ValueError, TypeError, AttributeError)):
        apply_changes(MappingTraffic(), said)


def test_nothing_is_left_out() -> None:
    """Changes that lack something are none."""
    for name in changes_of(MappingTraffic()):
        changes = changes_of(MappingTraffic())
        del changes[name]
        with pytest.raises(KeyError):
            apply_changes(MappingTraffic(), changes)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"5", b"[]", b"{}", b"[1]", b"[1, 2]", b'["1", {}]', b"[1, {}, 2]"],
)
def test_no_traffic(data: bytes) -> None:
    """An invalid message is a ValueError, whatever it is."""
    with pytest.raises(ValueError):
        read_traffic(data)


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([A, B]),
        st.sampled_from(["connected", "failed", "over", "away", "tell"]),
        st.integers(0, 5),
    )
)


@given(_EVENTS)
def test_sum_of_workers(events: list[tuple[int, Identity, str, int]]) -> None:
    """Whatever workers count and when they tell it, their master has the sum."""
    workers = [MappingTraffic() for _ in "abc"]
    heard = [MappingTraffic() for _ in "abc"]
    alone = MappingStats()
    for number, identity, what, amount in events:
        for stats in (workers[number].stats, alone):
            if what == "connected":
                stats.accepted += 1
                stats.connected(identity, amount / 8)
            elif what == "failed":
                stats.failed(identity, 90.0, "refused")
            elif what == "over":
                stats.over(identity, amount, 2 * amount, amount, "--")
            elif what == "away":
                stats.turned_away("SC")
        if what == "tell":
            _tell(workers[number], heard[number])
    for worker, listener in zip(workers, heard, strict=True):
        _tell(worker, listener)
    for told in (heard, workers):
        assert _plain(MappingStats.sum(each.stats for each in told)) == _plain(alone)
        account = MappingTraffic.sum(told).account(A)
        known = alone.accounts.get(A, account)
        assert (account.connects, account.failing) == (known.connects, known.failing)
