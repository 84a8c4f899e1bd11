"""Bodies of HTTP messages, of any length and in any pieces."""

from contextlib import suppress

import pytest

from tests.support.http_stage import GET, OK, HTTPStage, exchange
from tests.support.loopback import PATIENCE


@pytest.mark.parametrize("length", [5, 100_000, 3_000_000])
def test_bodies_of_requests_pass(length: int) -> None:
    """The body of a request comes whole, with the head or after it."""
    body = bytes(range(256)) * (length // 256 + 1)
    body = body[:length]
    with HTTPStage() as stage:
        client = stage.client()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
        client.say(head + body[:1000])
        upstream = stage.upstream()
        upstream.hear()
        client.sock.setblocking(False)
        rest, heard = memoryview(body)[1000:], bytearray()
        while len(heard) < length:
            if rest:
                with suppress(BlockingIOError):
                    rest = rest[client.sock.send(rest) :]
            heard += upstream.hear_bytes(min(1000, length - len(heard)))
        assert heard == body
        client.sock.settimeout(PATIENCE)
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"
        exchange(client, upstream)


def test_chunked_bodies_pass() -> None:
    """A chunked body passes in both directions, and its end is found."""
    chunked = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nDigest: 1\r\n\r\n"
    passed = chunked.replace(b";x=y", b"")
    with HTTPStage() as stage:
        client = stage.client()
        coding = b"Transfer-Encoding: chunked\r\n\r\n"
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\n" + coding, chunked)
        upstream = stage.upstream()
        upstream.hear()
        assert upstream.hear_bytes(len(passed)) == passed
        upstream.say(b"HTTP/1.1 200 OK\r\n" + coding, chunked[:9], chunked[9:])
        client.hear()
        assert client.hear_bytes(len(passed)) == passed
        exchange(client, upstream)


def test_long_bodies_of_responses_pass() -> None:
    """A long body comes whole to a client that reads slowly, and then the next one."""
    body = bytes(range(251)) * 20_000
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.hear()
        upstream.sock.setblocking(False)
        rest, heard = memoryview(body), bytearray()
        while len(heard) < len(body):
            if rest:
                with suppress(BlockingIOError):
                    rest = rest[upstream.sock.send(rest) :]
            heard += client.hear_bytes(min(1000, len(body) - len(heard)))
        assert heard == body
        upstream.sock.settimeout(PATIENCE)
        exchange(client, upstream)
