"""The last requests and connections that went wrong."""

from lbconsul.stats.unhappy import (
    KEPT,
    UnhappyConnection,
    UnhappyConnections,
    UnhappyRequests,
)
from tests.support.instances import an_identity


def _add(requests: UnhappyRequests, time: float, target: str = "/a") -> None:
    requests.note(time, "192.0.2.1:5", "GET", "web", target, 503, None, "SC")


def _times(requests: UnhappyRequests) -> list[float]:
    return [each.time for each in requests.last]


def test_only_the_last() -> None:
    """However many requests fail, the last fifty are kept."""
    requests = UnhappyRequests()
    for time in range(3 * KEPT):
        _add(requests, time)
    assert _times(requests) == list(range(2 * KEPT, 3 * KEPT))


def test_query_is_left_out() -> None:
    """Queries may hold secrets: none is kept."""
    requests = UnhappyRequests()
    _add(requests, 1.0, "/login?password=secret?")
    _add(requests, 1.0, "/?")
    assert [each.path for each in requests.last] == ["/login", "/"]


def test_texts_are_bounded() -> None:
    """Long texts are cut, and control characters replaced."""
    requests = UnhappyRequests()
    requests.note(
        1.0, "192.0.2.1:5", "M" * 500, "h\n" * 500, "/" + "p" * 500, 0,
        an_identity("a"), "r\x1b" * 50, 2,
    )  # fmt: skip
    [request] = requests.last
    assert len(request.path) == 200
    assert request.path.endswith("p...")
    assert len(request.host) == 100
    assert request.host.startswith("h?h?")
    assert len(request.method) == len(request.reason) == 40
    assert (request.upstream, request.retries) == (an_identity("a"), 2)


def test_each_is_told_once() -> None:
    """A worker tells of each request once, and of the last fifty at most."""
    requests = UnhappyRequests()
    assert requests.take_new() == []
    _add(requests, 1.0)
    _add(requests, 2.0)
    assert [each.time for each in requests.take_new()] == [1.0, 2.0]
    assert requests.take_new() == []
    _add(requests, 3.0)
    assert [each.time for each in requests.take_new()] == [3.0]
    for time in range(2 * KEPT):
        _add(requests, time)
    assert len(requests.take_new()) == KEPT


def test_newest_of_all_processes() -> None:
    """Of several processes' requests the newest are kept, in order."""
    one, other = UnhappyRequests(), UnhappyRequests()
    for time in range(KEPT):
        _add(one, 2 * time)
        _add(other, 2 * time + 1)
    one.add(other)
    assert _times(one) == list(range(KEPT, 2 * KEPT))
    _add(one, 1000)
    assert _times(one)[-2:] == [2 * KEPT - 1, 1000]
    assert len(one.last) == KEPT
    assert one.total == 2 * KEPT + 1


def _connection(time: float, client: str = "192.0.2.1:5") -> UnhappyConnection:
    return UnhappyConnection(time, client, None, "SC", "refused\n" * 100, 2)


def test_a_client_that_repeats_itself() -> None:
    """One client that fails again and again leaves room for others."""
    connections = UnhappyConnections()
    for port in range(1000):
        connections.note(_connection(port, f"192.0.2.1:{port}"))
    connections.note(_connection(1001.0, "192.0.2.2:5"))
    connections.note(_connection(1002.0, "192.0.2.1:5"))
    shown = [(each.time, each.client, each.count) for each in connections.last]
    assert shown == [
        (999, "192.0.2.1:999", 1000), (1001.0, "192.0.2.2:5", 1),
        (1002.0, "192.0.2.1:5", 1),
    ]  # fmt: skip
    assert connections.total == 1002
    error = connections.last[0].error
    assert len(error) == 200
    assert error.startswith("refused?refused?")


def test_repeated_after_a_report() -> None:
    """What a worker has reported is not counted again."""
    connections = UnhappyConnections()
    connections.note(_connection(1.0))
    assert [each.count for each in connections.take_new()] == [1]
    connections.note(_connection(2.0))
    connections.note(_connection(3.0))
    assert [each.count for each in connections.take_new()] == [2]
    assert connections.total == 3
