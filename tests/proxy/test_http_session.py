"""HTTP sessions: requests and responses, one after the other, and how they end."""

from tests.support.http_stage import GET, OK, HTTPStage


def test_requests_and_responses_pass() -> None:
    """A request comes to an instance with what it is to know, and the response back."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        head = upstream.hear()
        assert head.startswith(b"GET / HTTP/1.1\r\nHost: web.example\r\n")
        assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in head
        assert b"\r\nX-Forwarded-Proto: http\r\n" in head
        assert b"\r\nX-Request-ID: " in head
        upstream.say(OK)
        assert client.hear_message() == (OK[:-2], b"ok")


def test_pipelined_requests_are_answered_in_order() -> None:
    """A client may send several requests before it reads a response."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(5)))
        upstream = stage.upstream()
        for n in range(5):
            assert upstream.hear().startswith(b"GET /%d " % n)
            upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n)
        assert [client.hear_message()[1] for _ in range(5)] == [
            b"0", b"1", b"2", b"3", b"4",
        ]  # fmt: skip


def test_bad_requests_are_refused() -> None:
    """A request that two servers could understand differently is not passed on."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.hears_end().startswith(b"HTTP/1.1 400 ")
