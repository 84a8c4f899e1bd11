"""Exchanges: how a request finds its upstream, and what a client learns if not."""

from tests.support.http_stage import GET, OK, HTTPStage


def test_a_kept_connection_that_has_ended_costs_no_request() -> None:
    """A request comes to an instance although that has ended the kept connection."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        client.say(GET)
        upstream.hear()
        upstream.close()  # it read the request, and answers nothing
        exchange_at = stage.upstream()
        exchange_at.hear()
        exchange_at.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_no_upstream_is_told() -> None:
    """A client learns that there is no instance, and keeps its connection."""
    with HTTPStage() as stage:
        stage.refuse()
        client = stage.client()
        for _ in range(2):
            client.say(GET)
            assert client.hear_message()[0].startswith(b"HTTP/1.1 503 ")


def test_interim_responses_pass() -> None:
    """A client that waits for 100 (Continue) gets that of its instance."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        upstream = stage.upstream()
        assert b"\r\nExpect: 100-continue\r\n" in upstream.hear()
        upstream.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.hear() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.say(b"abc")
        assert upstream.hear_bytes(3) == b"abc"
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_an_early_response_ends_the_upload() -> None:
    """A client may be refused before it has sent its body, and learns why."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nabc")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(
            b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        upstream.close()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 413 No\r\n")
        client.say(b"more")
        client.end()
        assert client.hears_end() == b""
