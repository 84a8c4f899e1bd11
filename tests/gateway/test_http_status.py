"""What is shown of a gateway's HTTP requests."""

from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyConnection
from tests.gateway.test_status import A_ID, A, StatusStage
from tests.support.instances import an_instance


def _stage() -> StatusStage:
    """A gateway in HTTP mode whose instance a has had two requests."""
    stage = StatusStage()
    stage.answer(an_instance("a"), an_instance("b"))
    traffic = stage.data_plane.told
    http = traffic.stats.use_http()
    http.exchanged(A, 200, 0.0009, 0.02, 10, 100)
    http.exchanged(A, 500, 0.09, 0.1, 10, 100)
    http.exchanged(None, 503, -1.0, 0.0, 1, 2)
    http.retries, http.reused = 3, 1
    http.refused["SC"] += 1
    http.unhappy.note(1000.0, "192.0.2.1:7", "GET", "h", "/a?b", 500, A, "--", 2)
    http.unhappy.note(1001.0, "192.0.2.1:7", "GET", "h", "/c", 503, None, "SC")
    traffic.active_requests, traffic.idle_connections = 4, 5
    traffic.stats.moved(A, 1000, 2000)  # of an upgraded connection
    return stage


def test_mapping() -> None:
    """A mapping's requests by class, with times and what is open now."""
    [mapping] = _stage().collector.mappings()
    http = mapping.http
    assert http is not None
    assert http.requests == {
        "other": 0, "1xx": 0, "2xx": 1, "3xx": 0, "4xx": 0, "5xx": 2,
    }  # fmt: skip
    assert (http.active, http.idle_connections) == (4, 5)
    assert (http.retries, http.reused, http.refused) == (3, 1, {"SC": 1})
    assert http.first_byte_p50 == 0.001
    assert http.first_byte_p99 is not None
    assert 0.05 < http.first_byte_p99 < 0.1
    assert (mapping.bytes_received, mapping.bytes_sent) == (1021, 2202)
    assert mapping.request_time is not None
    assert sum(mapping.request_time.counts) == 3
    assert mapping.request_first_byte_time is not None
    assert sum(mapping.request_first_byte_time.counts) == 2


def test_unhappy() -> None:
    """The last unhappy request comes first, with the time by the wall clock."""
    stage = _stage()
    stage.ahead = 500.0
    [mapping] = stage.collector.mappings()
    last, first = mapping.unhappy
    assert (last.time, last.path, last.status, last.upstream) == (1501, "/c", 503, "")
    assert (last.reason, last.retries) == ("SC", 0)
    assert (first.time, first.path, first.upstream) == (1500, "/a", A_ID)
    assert (first.method, first.host, first.client) == ("GET", "h", "192.0.2.1:7")
    assert (first.reason, first.retries) == ("--", 2)
    assert first.cause == "the upstream answered 500"
    assert mapping.failed == 2


def test_unhappy_connections() -> None:
    """So it is with connections, whose code is shown in words, too."""
    stage = _stage()
    unhappy = stage.data_plane.told.stats.unhappy
    for time, upstream in ((1000.0, A), (1001.5, None)):
        unhappy.note(UnhappyConnection(time, "c:1", upstream, "SC", "why", 3, 0.01234))
    stage.ahead = 500.0
    [mapping] = stage.collector.mappings()
    last, first = mapping.unhappy_connections
    assert (last.time, last.upstream, first.upstream) == (1501.5, "", A_ID)
    assert (last.cause, last.error, last.retries) == (
        "no upstream accepted the connection", "why", 3,
    )  # fmt: skip
    assert (last.seconds, last.count, mapping.failed) == (0.012, 1, 4)


def test_upstreams() -> None:
    """An upstream's requests, with the bytes of all its connections."""
    one, other = _stage().upstreams()
    assert one.http is not None
    assert other.http is not None
    assert (one.http.requests["2xx"], one.http.requests["5xx"]) == (1, 1)
    assert one.http.first_byte_p50 == 0.001
    assert (one.bytes_received, one.bytes_sent) == (1020, 2200)
    assert set(other.http.requests.values()) == {0}
    assert other.http.first_byte_p50 is None


def test_nothing_yet() -> None:
    """A mapping in HTTP mode is shown as one before its first request."""
    stage = StatusStage("80:web,mode=http")
    stage.answer(an_instance("a"))
    [mapping] = stage.collector.mappings()
    assert mapping.http is not None
    assert set(mapping.http.requests.values()) == {0}
    assert mapping.unhappy == ()
    stage.data_plane.told = MappingTraffic()
    [upstream] = stage.upstreams("80:web")
    assert upstream.http is not None


def test_tcp() -> None:
    """A mapping in another mode shows nothing of requests."""
    stage = StatusStage()
    stage.answer(an_instance("a"))
    stage.data_plane.told.stats.moved(A, 1, 2)
    [mapping] = stage.collector.mappings()
    assert (mapping.http, mapping.request_time, mapping.unhappy) == (None, None, ())
    [upstream] = stage.upstreams()
    assert (upstream.http, upstream.bytes_received, upstream.bytes_sent) == (None, 1, 2)
