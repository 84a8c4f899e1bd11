"""What clients and instances may take of time and room, and what ends them."""

from contextlib import suppress

import pytest

from lbconsul.config.model import WhenEmpty
from lbconsul.http import body_rate
from lbconsul.proxy import http_exchange, http_requests, http_time_limits
from lbconsul.proxy.http_session import HTTPSession
from tests.support.http_stage import GET, OK, HTTPStage, Peer
from tests.support.upstreams import WEB
from tests.support.waiting import eventually

PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def status(client: Peer) -> bytes:
    """The status of the next response, after which the connection ends."""
    return client.hears_end()[9:12]


def test_limits_of_routes_are_checked_as_often_as_they_need() -> None:
    """A limit of a route that is shorter than its mapping's fires in time."""
    short = {"response_timeout": 0.8}
    with HTTPStage(routes={"a.example": short, "b.example": {}}) as stage:
        sweeper = stage.proxy.mapped.session_sweeper
        assert sweeper.interval == pytest.approx(0.1)
    with HTTPStage(routes={"b.example": {}}) as stage:
        alone = stage.proxy.mapped.session_sweeper.interval
    with HTTPStage() as stage:
        assert stage.proxy.mapped.session_sweeper.interval == alone


def test_a_body_may_be_too_large() -> None:
    """A client whose body is too large learns it before it sends it."""
    with HTTPStage(max_body=10) as stage:
        client = stage.client()
        client.say(PUT % 11)
        assert client.hear().startswith(b"HTTP/1.1 413 ")
        client = stage.client()
        client.say(PUT % 10 + bytes(10))
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_a_chunked_body_may_be_too_large() -> None:
    """A body without a length ends as soon as it is too large."""
    with HTTPStage(max_body=10) as stage:
        client = stage.client()
        client.say(CHUNKED + b"9\r\n" + bytes(9))
        assert client.hear().startswith(b"HTTP/1.1 413 ")
        client = stage.client()
        client.say(CHUNKED + b"2\r\nab\r\n")
        upstream = stage.upstream()
        upstream.hear(b"ab")
        client.say(b"2\r\nab\r\n")
        assert client.hear().startswith(b"HTTP/1.1 413 ")
        with suppress(ConnectionResetError):
            upstream.hears_end()


def test_a_head_that_takes_too_long_is_answered() -> None:
    """A client that sends its request too slowly learns it."""
    with HTTPStage(head_timeout=0.2) as stage:
        client = stage.client()
        client.say(GET[:9])
        assert status(client) == b"408"


def test_a_client_that_sends_nothing_is_left_without_a_word() -> None:
    """A browser that connects before it has a request gets no answer to one."""
    with HTTPStage(head_timeout=0.2) as stage:
        assert stage.client().hears_end() == b""


def test_a_kept_connection_ends_once_it_was_idle() -> None:
    """A client's connection without requests ends in order."""
    with HTTPStage(keepalive_timeout=0.2) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        assert client.hears_end() == b""


def test_a_request_may_take_too_long() -> None:
    """With `request-timeout` a request without a response is answered 504."""
    with HTTPStage(request_timeout=0.2) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 504 ")
        client.say(PUT % 9)
        stage.upstream().hear()
        assert client.hear().startswith(b"HTTP/1.1 408 ")


def test_a_response_may_take_too_long() -> None:
    """With `request-timeout` a response that goes on for ever is cut."""
    with HTTPStage(request_timeout=0.2) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        with pytest.raises(ConnectionResetError):
            client.hears_end()


def test_a_request_that_is_not_sent_in_time_is_answered() -> None:
    """With `request-timeout` the time for the connect counts too."""
    with HTTPStage(
        upstreams=1, request_timeout=0.2, when_empty=WhenEmpty(wait=9.0)
    ) as stage:
        stage.proxy.call(stage.proxy.registry.replace, WEB.query, [])
        client = stage.client()
        client.say(GET)
        assert client.hear_message()[0].startswith(b"HTTP/1.1 504 ")


def test_a_body_that_comes_too_slowly_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `min-rate` a client that drips its body is answered 408."""
    monkeypatch.setattr(body_rate, "WINDOW", 0.2)
    with HTTPStage(min_rate=1000, head_timeout=0.4) as stage:
        client = stage.client()
        client.say(PUT % 900 + b"a")
        upstream = stage.upstream()
        upstream.hear()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 408 ")
        http = stage.proxy.mapped.stats.http
        assert http is not None
        eventually(lambda: http.refused == {"min-rate": 1}, "it is counted")


def count_checks(stage: HTTPStage, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which the progress of the session is checked from now on."""
    checks = list[float]()
    check = HTTPSession.check_progress

    def checked(self: HTTPSession, now: float, received: int, least: int) -> None:
        checks.append(now)
        check(self, now, received, least)

    monkeypatch.setattr(HTTPSession, "check_progress", checked)
    return checks


def test_a_response_that_comes_slowly_is_no_fault_of_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `min-rate` a stream of events may be as slow as it is."""
    monkeypatch.setattr(body_rate, "WINDOW", 0.1)
    with HTTPStage(min_rate=1000, head_timeout=0.4) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        checks = count_checks(stage, monkeypatch)
        eventually(lambda: len(checks) > 9, "the rate is looked at")
        upstream.say(b"event")
        client.hear()
        assert client.hear_bytes(5) == b"event"


def respond(stage: HTTPStage, body: bytes) -> Peer:
    """Have the instance send a response."""
    upstream = stage.upstream()
    upstream.hear()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    upstream.say(head % len(body) + body)
    return upstream


@pytest.mark.parametrize("length", [50_000, 2_000_000])
def test_a_response_that_is_read_too_slowly_is_cut(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `min-rate` the connection ends of a client that reads no response."""
    monkeypatch.setattr(body_rate, "WINDOW", 0.2)
    with HTTPStage(min_rate=1000, head_timeout=0.4) as stage:
        client = stage.narrow_client()
        client.say(GET)
        respond(stage, bytes(length))
        stage.proxy.wait_until_open(0)


@pytest.mark.parametrize("request_", [GET, GET[:-2] + b"Connection: close\r\n\r\n"])
def test_a_slow_reader_gets_all_of_the_response(
    request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads the end of a response late gets it, whatever follows."""
    monkeypatch.setattr(http_time_limits, "_LINGER", 0.0)
    with HTTPStage(head_timeout=0.4, keepalive_timeout=0.2) as stage:
        client = stage.narrow_client()
        client.say(request_)
        respond(stage, bytes(50_000))
        session = stage.session()
        checks = count_checks(stage, monkeypatch)
        eventually(lambda: len(checks) > 9, "the end does not come too early")
        assert session.unsent
        client.hear()
        assert client.hear_bytes(50_000) == bytes(50_000)
        assert client.hears_end() == b""


def test_a_reader_that_stands_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads nothing of a response for the idle timeout is left."""
    with HTTPStage(idle_timeout=0.3) as stage:
        client = stage.narrow_client()
        client.say(GET)
        respond(stage, bytes(50_000))
        stage.proxy.wait_until_open(0)


def test_a_route_has_an_idle_timeout_of_its_own() -> None:
    """A client that reads nothing is left by the idle timeout of its route."""
    with HTTPStage(routes={"web.example": {"idle_timeout": 0.3}}) as stage:
        client = stage.narrow_client()
        client.say(GET)
        respond(stage, bytes(50_000))
        stage.proxy.wait_until_open(0)


EXPECTS = PUT.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")


def test_a_client_does_not_wait_for_ever_to_send_its_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that waits for 100 gets it, though its instance does not know of it."""
    monkeypatch.setattr(http_exchange, "_CONTINUE_AFTER", 0.1)
    with HTTPStage(head_timeout=0.4) as stage:
        client = stage.client()
        client.say(EXPECTS % 3)
        upstream = stage.upstream()
        upstream.hear()
        assert client.hear() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.say(b"abc")
        assert upstream.hear_bytes(3) == b"abc"
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


@pytest.mark.parametrize("first", [b"100 Continue", b"200 OK"])
def test_a_client_that_need_not_wait_is_told_nothing(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client gets no 100 of the proxy's own that it does not wait for."""
    monkeypatch.setattr(http_exchange, "_CONTINUE_AFTER", 0.1)
    with HTTPStage(head_timeout=0.4) as stage:
        client = stage.client()
        client.say(EXPECTS % 3)
        upstream = stage.upstream()
        upstream.hear()
        checks = count_checks(stage, monkeypatch)
        upstream.say(b"HTTP/1.1 %b\r\n" % first)
        if first == b"100 Continue":
            upstream.say(b"\r\n")
        else:
            upstream.say(b"Content-Length: 5\r\n\r\n123")
        assert client.hear().startswith(b"HTTP/1.1 " + first)
        eventually(lambda: len(checks) > 6, "time passes")
        client.say(b"abc")
        upstream.say(b"45" if first == b"200 OK" else OK)
        assert b"100 Continue" not in client.hear(b"45" if first == b"200 OK" else OK)


def test_a_client_that_does_not_stop_is_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that goes on with its body after the last response is cut off."""
    monkeypatch.setattr(http_requests, "_MOST_DISCARDED", 100_000)
    monkeypatch.setattr(http_time_limits, "_LINGER", 30.0)
    with HTTPStage(max_body=10) as stage:
        client = stage.client()
        client.say(PUT % 10_000_000)
        assert client.hear().startswith(b"HTTP/1.1 413 ")
        with pytest.raises(OSError, match=r"reset|pipe"):
            for _ in range(100):
                client.say(bytes(100_000))


def test_a_client_that_reads_late_learns_why_it_was_refused() -> None:
    """A client that sends all of its body before it reads gets the response."""
    with HTTPStage(max_body=10) as stage:
        client = stage.client()
        client.say(PUT % 3_000_000, bytes(3_000_000))
        assert client.hear_message()[0].startswith(b"HTTP/1.1 413 ")
        client.end()
        assert client.hears_end() == b""
