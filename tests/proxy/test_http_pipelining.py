"""Clients of HTTP mode that send on while a response is under way, or end."""

import pytest

from tests.support.http_stage import GET, OK, HTTPStage, Peer, exchange
from tests.support.waiting import eventually

_POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
_LONG = b"x" * 50_000
_LONG_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + _LONG


def _serve_slow_reader(stage: HTTPStage) -> tuple[Peer, Peer]:
    """A client that has not read a response of which all has come, and its upstream."""
    client = stage.narrow_client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(_LONG_RESPONSE)
    session = stage.session()
    eventually(
        lambda: stage.proxy.call(lambda: session.is_full and not session.is_relaying),
        "the response waits for its client",
    )
    return client, upstream


def _wait_for_end(stage: HTTPStage) -> None:
    """Wait until the client's end has been read."""
    session = stage.session()
    eventually(lambda: stage.proxy.call(lambda: session.has_ended), "the end is read")


def test_a_long_upload_may_follow_a_request() -> None:
    """A body that comes while a response is awaited passes whole after it."""
    body = bytes(range(250)) * 600
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        client.say(_POST % len(body) + body)
        session = stage.session()
        eventually(
            lambda: stage.proxy.call(lambda: not session.watched), "reading pauses"
        )
        upstream.say(OK)
        client.hear_message()
        upstream.hear()
        assert upstream.hear_bytes(len(body)) == body
        upstream.say(OK)
        client.hear_message()
        exchange(client, upstream)


def test_a_slow_reader_may_end_its_direction() -> None:
    """A client that ends its direction gets all of a response that it reads slowly."""
    with HTTPStage() as stage:
        client, _upstream = _serve_slow_reader(stage)
        client.end()
        _wait_for_end(stage)
        assert client.hear_message()[1] == _LONG
        assert client.hears_end() == b""


def test_a_slow_reader_may_end_after_another_request() -> None:
    """The request before a client's end is served, however late its turn comes."""
    with HTTPStage() as stage:
        client, upstream = _serve_slow_reader(stage)
        client.say(GET)
        client.end()
        _wait_for_end(stage)
        assert client.hear_message()[1] == _LONG
        upstream.hear()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert client.hears_end() == b""


@pytest.mark.parametrize("part", [GET[:10], _POST % 15 + b"short"])
def test_a_part_of_a_request_before_the_end_is_no_request(part: bytes) -> None:
    """A client that ends amid its second request is closed once the first is over."""
    with HTTPStage(head_timeout=0.0) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        client.say(part)
        client.end()
        _wait_for_end(stage)
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert client.hears_end() == b""
        eventually(lambda: not stage.proxy.mapped.sessions, "the session is over")


@pytest.mark.parametrize("extra", [OK, b"HTTP/1.1 103 Early Hints\r\n\r\n", b"x"])
def test_nothing_follows_a_response_during_an_upload(extra: bytes) -> None:
    """What an instance sends behind its early response is no further response."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(_POST % 4 + b"ab")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        upstream.say(extra)
        session = stage.session()
        eventually(
            lambda: stage.proxy.call(
                lambda: not session._exchange.upstream.is_reusable  # type: ignore[union-attr]
            ),
            "what follows is read",
        )
        client.say(b"cd", GET)
        again = stage.upstream()
        again.hear()
        again.say(OK)
        assert client.hear_message() == (OK[:-2], b"ok")
