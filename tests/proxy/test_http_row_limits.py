"""Requests that a limit of the mapping refuses, and those that it lets through."""

import re
from typing import Any

import pytest
from twisted.logger import capturedLogs

from lbconsul.config.rate_limit import rate_limit
from tests.support.http_stage import GET, OK, HTTPStage, exchange
from tests.support.loopback import reset
from tests.support.waiting import eventually

POST = b"POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 4\r\n\r\n"


def limited(*rates: str, **options: Any) -> HTTPStage:
    return HTTPStage(rate_limit=tuple(map(rate_limit, rates)), **options)


def _reasons(stage: HTTPStage) -> dict[str, int]:
    http = stage.proxy.mapped.stats.http
    assert http is not None
    return dict(http.refused)


def test_a_refused_request_is_answered() -> None:
    """
    A request beyond the limit gets 429 and learns when to come again; the connection
    goes on, and the log has the reason, the code and the limit.
    """
    with limited("2/m") as stage, capturedLogs() as events:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        client.hear_message()
        exchange(client, upstream)  # the ordinary path
        for _ in range(2):
            client.say(GET)
            head, body = client.hear_message()
            assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            wait = re.search(rb"\r\nRetry-After: (\d+)\r\n", head)
            assert wait is not None
            assert 1 <= int(wait[1]) <= 30
            assert b"connection: close" not in head.lower()
            assert b"rate-limited" in body
        eventually(lambda: _reasons(stage) == {"rate-limited": 2}, "it is counted")
        assert stage.proxy.mapped.stats.exceeded == {"2/m": 2}
    [*_, line] = [each["line"] for each in events if "line" in each]
    assert " PF " in line
    assert 'reason=rate-limited error="more than 2/m"' in line


def test_one_decision_for_a_request() -> None:
    """
    Each request counts once, whether its connection to the upstream is new or kept, and
    whether it comes in one piece or in several.
    """
    with limited("5/h") as stage:
        client = stage.client()
        client.say(GET[:10])
        eventually(lambda: stage.proxy.mapped.sessions, "the client is accepted")
        eventually(lambda: stage.session().moved == 10, "the beginning was read")
        client.say(GET[10:])
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        client.hear_message()
        exchange(client, upstream)
        client.say(GET + GET)
        for _ in range(2):
            upstream.hear_message()
            upstream.say(OK)
            client.hear_message()
        exchange(client, upstream, POST + b"body")
        client.say(GET)
        assert client.hear_message()[0].startswith(b"HTTP/1.1 429 ")


def test_a_refused_body() -> None:
    """A body that has come is no obstacle; one that is to come ends the connection."""
    with limited("1/h") as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        client.hear_message()
        client.say(POST + b"body")
        head, _ = client.hear_message()
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nConnection: close\r\n" not in head
        client.say(POST)
        head, _ = client.hear_message()
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nConnection: close\r\n" in head
        client.say(b"body")
        client.end()
        assert client.hears_end() == b""


def test_requests_at_a_time() -> None:
    """
    Beyond `max-requests` a request gets 503 at once, until one is over: with its
    answer, with its client, or with its upstream.
    """
    with limited(max_requests=2) as stage:
        held = [stage.client() for _ in range(2)]
        upstreams = []
        for each in held:
            each.say(GET)
            upstreams.append(stage.upstream())
            upstreams[-1].hear_message()
        other = stage.client()
        other.say(GET)
        head, _ = other.hear_message()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5\r\n" in head
        eventually(lambda: _reasons(stage) == {"max-requests": 1}, "it is counted")
        upstreams[0].say(OK)
        held[0].hear_message()
        exchange(other, upstreams[0])  # ordinary
        held[0].say(GET)
        upstreams[0].hear_message()
        reset(held[1].sock)
        limits = stage.proxy.mapped.limits
        assert limits is not None
        count = limits.requests
        assert count is not None

        def is_free() -> bool:
            is_free = count.begin(2)
            if is_free:
                count.end()
            return is_free

        eventually(is_free, "the client that left makes room")
        upstreams[0].sock.close()
        # GET is sent again, and the client gets that response.
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        assert held[0].hear_message()[0].startswith(b"HTTP/1.1 200 ")
        eventually(lambda: sum(count._cells) == 0, "all are over")


@pytest.mark.parametrize("share", [0, 90])
def test_overload(share: int) -> None:
    """While the process lags behind, its share of requests gets 503."""
    with limited(shed_lag=0.2) as stage:
        limits = stage.proxy.mapped.limits
        assert limits is not None
        assert limits.shedder is not None
        limits.shedder.share = share
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        client.hear_message()
        limits.shedder.share = share
        client.say(GET)
        if share:
            assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")
            eventually(lambda: _reasons(stage) == {"overloaded": 1}, "it is counted")
        else:
            upstream.hear_message()
