"""HTTP sessions: requests and responses, one after the other, and how they end."""

import ssl
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.http_stage import GET, OK, HTTPStage, Peer

#: A request for another protocol, and the response to it.
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = (
    b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


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


def test_upgraded_connections_are_relayed() -> None:
    """After an upgrade bytes pass both ways, as they come."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(UPGRADE + b"early")
        upstream = stage.upstream()
        assert b"\r\nUpgrade: websocket\r\n" in upstream.hear()
        upstream.say(SWITCHING + b"hello")
        assert client.hear().startswith(b"HTTP/1.1 101 ")
        assert client.hear_bytes(5) == b"hello"
        assert upstream.hear_bytes(5) == b"early"
        client.say(b"from the client")
        assert upstream.hear_bytes(15) == b"from the client"
        upstream.say(b"from the upstream")
        assert client.hear_bytes(17) == b"from the upstream"
        upstream.end()
        client.end()
        assert client.hears_end() == upstream.hears_end() == b""
        stage.proxy.wait_until_open(0)


def test_an_upgrade_has_the_timeouts_of_its_route() -> None:
    """An upgraded connection without a byte ends by the idle timeout of its route."""
    with HTTPStage(routes={"web.example": {"idle_timeout": 0.3}}) as stage:
        client = stage.client()
        client.say(UPGRADE)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(SWITCHING)
        client.hear()
        stage.proxy.wait_until_open(0)


def test_an_upgrade_on_a_route_with_tls(tmp_path: Path) -> None:
    """Only a route has TLS to its instances: what passes after an upgrade is TLS."""
    issued = Authority(tmp_path).issue("localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    options = {"upstream_tls": True, "upstream_verify": False}
    with HTTPStage(routes={"web.example": options}) as stage:
        client = stage.client()
        client.say(UPGRADE)
        sock = context.wrap_socket(stage.upstream().sock, server_side=True)
        upstream = Peer(stage.enter(sock))
        upstream.hear()
        upstream.say(SWITCHING + b"hello")
        client.hear()
        client.say(b"from the client")
        assert client.hear_bytes(5) == b"hello"
        assert upstream.hear_bytes(15) == b"from the client"
