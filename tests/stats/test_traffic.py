"""A mapping's traffic while its connections are open."""

import pytest

from lbconsul.balance.outlier import Ejection
from lbconsul.stats.traffic import MappingTraffic
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")
FAILED, BY_HAND = Ejection("it failed", 80.0, 95.5), Ejection("by hand", 5.0, 15.0)


def some() -> MappingTraffic:
    """Two connections to a, one of them over, and a client that waits; b is ejected."""
    traffic = MappingTraffic(queued=1)
    stats = traffic.stats
    stats.accepted = 3
    for _ in range(2):
        stats.connected(A, 0.01)
    stats.over(A, 10, 100, 1.0, "--")
    stats.moved(A, 1, 5)
    traffic.ejected[0, B] = FAILED, 77.0
    traffic.used.add(0)
    return traffic


def test_sum() -> None:
    """The traffic of several processes adds up, and the parts are unchanged."""
    one, other = some(), some()
    other.stats.moved(B, 7, 7)
    other.ejected, other.used = {(1, A): (BY_HAND, 5.0)}, {1}
    total = MappingTraffic.sum([one, other])
    assert (total.queued, total.stats.accepted) == (2, 6)
    assert total.ejected == {(0, B): (FAILED, 77.0), (1, A): (BY_HAND, 5.0)}
    assert total.used == {0, 1}
    assert (total.stats.received, total.stats.sent) == (29, 217)
    assert (one.stats.received, one.stats.accepted) == (11, 3)


def test_accounts() -> None:
    """
    The accounts of instances are summed one by one: of 10,000 instances all at once
    would hold up the reactor.
    """
    one, other = some(), some()
    total = MappingTraffic.sum([MappingTraffic.sum([one]), other])
    assert total.stats.accounts == {}
    assert total.account(A).total == 4
    assert total.account(B).total == 0
    assert one.account(A) is one.stats.accounts[A]
    one.stats.use_http().exchanged(A, 200, 0.1, 0.2, 1, 2)
    assert total.http_account(A) is one.stats.use_http().accounts[A]
    assert total.http_account(B).answered == 0


def test_sum_of_requests() -> None:
    """Requests of several processes add up, with connections that are kept idle."""
    one = MappingTraffic(active_requests=1, idle_connections=2)
    one.stats.use_http().exchanged(A, 200, 0.1, 0.2, 1, 2)
    total = MappingTraffic.sum([one, MappingTraffic(), one])
    assert (total.active_requests, total.idle_connections) == (2, 4)
    assert total.stats.use_http().classes[2] == 2


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [
        (MappingTraffic(), False),
        (MappingTraffic(queued=1), True),
        (MappingTraffic(ejected={(0, A): (FAILED, 1.0)}), True),
        (MappingTraffic(active_requests=1), True),
        (MappingTraffic(idle_connections=1), True),
    ],
)
def test_what_can_end_by_itself(traffic: MappingTraffic, expected: bool) -> None:
    """Waiting clients, ejections, requests and idle connections end unannounced."""
    assert traffic.is_passing is expected


def test_close() -> None:
    """Of a process that died no connection stays open, and no byte is lost."""
    traffic = some()
    stats = traffic.close("KW")
    assert stats.endings == {"--": 1, "KW": 2}
    assert (stats.received, stats.sent) == (11, 105)
    assert stats.unhappy.total == 2
    assert traffic.close("KW").endings == {"--": 1, "KW": 2}
