"""What one client or instance can make the proxy hold, whatever it sends."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from lbconsul.config.model import WhenEmpty
from lbconsul.proxy.http_side import READ_SIZE, HTTPSide
from tests.support.http_stage import GET, HTTPStage, Peer
from tests.support.upstreams import WEB
from tests.support.waiting import eventually

READS = 1

#: One read, and what may be left of the one before it.
MOST = 2 * READ_SIZE

#: More than sockets hold.
PLENTY = 40_000_000


def flood(peer: Peer, data: bytes, side: Callable[[], HTTPSide]) -> None:
    """Send the data over and over until the proxy reads no more of it."""
    peer.sock.setblocking(False)
    sent = 0
    rest = b""

    def is_stuck() -> bool:
        nonlocal sent, rest
        with suppress(BlockingIOError):
            while sent < PLENTY:
                rest = rest or data
                count = peer.sock.send(rest)
                sent, rest = sent + count, rest[count:]
        assert sent < PLENTY
        return not side().watched & READS

    eventually(is_stuck, "no more is read")
    peer.sock.setblocking(True)


def test_pipelined_requests_wait_outside() -> None:
    """Requests that wait for the response to another one are not all read."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        stage.upstream().hear()
        flood(client, GET * 1000, stage.session)
        assert READ_SIZE <= len(stage.session()._buffer) < MOST


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"ffff\r\n%b\r\n" % bytes(65535)])
def test_an_upload_waits_for_its_reader(chunk: bytes) -> None:
    """Of a body that the instance does not read little is held."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        flood(client, chunk * (65536 // len(chunk) + 1), stage.session)
        session = stage.session()
        exchange = session._exchange
        assert exchange is not None and exchange.upstream is not None
        assert 0 < len(exchange.upstream.unsent) <= MOST
        assert exchange._body is None and not session._buffer


def upstream_side(stage: HTTPStage) -> HTTPSide:
    """The connection to the instance."""
    exchange = stage.session()._exchange
    assert exchange is not None and exchange.upstream is not None
    return exchange.upstream


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\na\r\n" * 10_000,
        ),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000),
    ],
    ids=["body", "chunks", "interim"],
)
def test_a_response_waits_for_its_reader(head: bytes, data: bytes) -> None:
    """Of a response that the client does not read little is held."""
    with HTTPStage() as stage:
        client = stage.narrow_client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(head)
        flood(upstream, data, lambda: upstream_side(stage))
        assert 0 < len(stage.session().unsent) <= MOST


def test_a_body_waits_for_the_connect() -> None:
    """Of a body little is held while there is no instance."""
    wait = WhenEmpty(wait=99.0)
    with HTTPStage(when_empty=wait) as stage:
        stage.proxy.call(stage.proxy.registry.replace, WEB.query, [])
        client = stage.client()
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        eventually(lambda: len(stage.proxy.mapped.wait_queue), "the request waits")
        flood(client, bytes(65536), stage.session)
        exchange = stage.session()._exchange
        assert exchange is not None
        assert len(exchange._body or b"") + len(stage.session()._buffer) <= MOST


def test_a_head_without_an_end_is_no_response() -> None:
    """An instance whose head never ends is given up."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        with suppress(ConnectionResetError, BrokenPipeError):
            upstream.say(b"HTTP/1.1 200 OK\r\n")
            for number in range(400):
                upstream.say(b"A%d: %b\r\n" % (number, b"a" * 1000))
        assert client.hear().startswith(b"HTTP/1.1 502 ")
