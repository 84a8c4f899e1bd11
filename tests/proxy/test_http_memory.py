"""What one client or instance can make the proxy hold, whatever it sends."""

from collections.abc import Callable
from contextlib import suppress
from select import select

import pytest

from lbconsul.config.model import WhenEmpty
from lbconsul.proxy.http_side import READ_SIZE, HTTPSide
from tests.support.http_stage import GET, HTTPStage, Peer
from tests.support.upstreams import WEB
from tests.support.waiting import eventually

READS = 1

#: Bytes that the proxy holds, in each place where it does.
Held = tuple[int, ...] | None

#: One read, and what may be left of the one before it.
MOST = 2 * READ_SIZE

#: More than sockets hold.
PLENTY = 40_000_000


def flood(stage: HTTPStage, peer: Peer, data: bytes, look: Callable[[], Held]) -> Held:
    """Send the data over and over until the proxy reads no more of it; what it holds.

    `look` says that, between two turns of the proxy; None while it reads, or may soon.
    """
    peer.sock.setblocking(False)
    sent = 0
    rest = b""
    held: Held = None

    def is_stuck() -> bool:
        nonlocal sent, rest, held
        with suppress(BlockingIOError):
            while sent < PLENTY:
                rest = rest or data
                count = peer.sock.send(rest)
                sent, rest = sent + count, rest[count:]
        assert sent < PLENTY
        held = stage.proxy.call(look)
        return held is not None

    eventually(is_stuck, "no more is read")
    peer.sock.setblocking(True)
    return held


def is_stopped(source: HTTPSide, target: HTTPSide | None = None) -> bool:
    """Whether nothing is read from one side, as there is no room to send it on."""
    has_room = target is not None and select([], [target.fileno()], [], 0)[1]
    return not (source.watched & READS or has_room)


def test_pipelined_requests_wait_outside() -> None:
    """Requests that wait for the response to another one are not all read."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        stage.upstream().hear()

        def look() -> Held:
            session = stage.session()
            return (len(session._buffer),) if is_stopped(session) else None

        held = flood(stage, client, GET * 1000, look)
        assert held is not None and READ_SIZE <= held[0] < MOST


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"ffff\r\n%b\r\n" % bytes(65535)])
def test_an_upload_waits_for_its_reader(chunk: bytes) -> None:
    """Of a body that the instance does not read little is held."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        stage.upstream().hear()

        def look() -> Held:
            session, upstream = stage.session(), upstream_side(stage)
            if not is_stopped(session, upstream):
                return None
            exchange = session._exchange
            assert exchange is not None and exchange._body is None
            return len(upstream.unsent), len(session._buffer)

        held = flood(stage, client, chunk * (65536 // len(chunk) + 1), look)
        assert held is not None and 0 < held[0] <= MOST and not held[1]


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

        def look() -> Held:
            session = stage.session()
            is_over = is_stopped(upstream_side(stage), session)
            return (len(session.unsent),) if is_over else None

        held = flood(stage, upstream, data, look)
        assert held is not None and 0 < held[0] <= MOST


def test_a_body_waits_for_the_connect() -> None:
    """Of a body little is held while there is no instance."""
    wait = WhenEmpty(wait=99.0)
    with HTTPStage(when_empty=wait) as stage:
        stage.proxy.call(stage.proxy.registry.replace, WEB.query, [])
        client = stage.client()
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        eventually(lambda: len(stage.proxy.mapped.wait_queue), "the request waits")

        def look() -> Held:
            session = stage.session()
            exchange = session._exchange
            assert exchange is not None
            sizes = len(exchange._body or b""), len(session._buffer)
            return sizes if is_stopped(session) else None

        held = flood(stage, client, bytes(65536), look)
        assert held is not None and sum(held) <= MOST


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
