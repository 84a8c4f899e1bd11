"""Upgrades: what passes once both sides speak another protocol, and how that ends."""

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.http_stage import GET, OK, HTTPStage, Peer

#: A request for another protocol, and the response to it.
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = (
    b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"

#: More than one read.
MUCH = bytes(range(256)) * 1024


def upgraded(stage: HTTPStage) -> tuple[Peer, Peer]:
    """A client and its upstream, which speak another protocol."""
    client = stage.client()
    client.say(UPGRADE)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(SWITCHING)
    client.hear()
    return client, upstream


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


def test_much_that_follows_an_upgrade_at_once() -> None:
    """Whatever stands behind the request or the response arrives, and in order."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(UPGRADE + MUCH)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(SWITCHING + MUCH)
        client.hear()
        assert upstream.hear_bytes(len(MUCH)) == MUCH
        assert client.hear_bytes(len(MUCH)) == MUCH


def test_more_that_comes_with_the_response() -> None:
    """What a client sends as the response comes arrives behind what it had sent."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(UPGRADE + b"early")
        upstream = stage.upstream()
        upstream.hear()
        with stage.at_once():
            upstream.say(SWITCHING)
            client.say(b", later")
        assert upstream.hear_bytes(12) == b"early, later"


def test_a_client_that_is_refused_goes_on() -> None:
    """A client whose upgrade is refused has a connection of HTTP, as before."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(UPGRADE)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(REFUSAL)
        assert client.hear_message()[1] == b"no"
        client.say(GET)
        assert b"\r\nUpgrade: " not in upstream.hear()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_what_follows_a_refused_upgrade_is_no_other_protocol() -> None:
    """What a client has sent in hope of an upgrade is not passed on without one."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(UPGRADE + b"\x81\x85\0\0\0\0hello")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(REFUSAL)
        assert client.hear_message()[1] == b"no"
        assert client.hears_end().startswith(b"HTTP/1.1 400 ")
        other = stage.client()
        other.say(GET)
        # On the same connection, on which nothing came in between.
        assert upstream.hear().startswith(b"GET / HTTP/1.1\r\n")
        upstream.say(OK)
        assert other.hear_message()[1] == b"ok"


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_one_direction_may_end_first(first: str) -> None:
    """After the end of one direction the other one lives on."""
    with HTTPStage() as stage:
        client, upstream = upgraded(stage)
        ending, going_on = client, upstream
        if first == "upstream":
            ending, going_on = upstream, client
        ending.say(b"the last")
        ending.end()
        assert going_on.hears_end() == b"the last"
        going_on.say(MUCH)
        assert ending.hear_bytes(len(MUCH)) == MUCH
        going_on.end()
        assert ending.hears_end() == b""
        stage.proxy.wait_until_open(0)


def test_the_half_close_timeout() -> None:
    """A direction that is left alone ends by `half-close-timeout`."""
    with HTTPStage(half_close_timeout=0.3) as stage:
        client, upstream = upgraded(stage)
        upstream.end()
        stage.proxy.wait_until_open(0)
        assert client.hears_end() == upstream.hears_end() == b""


def test_a_drain() -> None:
    """An upgraded connection goes on while its mapping drains, until the timeout."""
    for timeout in 3600.0, 0.0:
        with HTTPStage(drain_timeout=timeout) as stage:
            client, upstream = upgraded(stage)
            stage.proxy.call(stage.proxy.mapped.drain)
            stage.proxy.call(lambda mapped: list(mapped.tick()), stage.proxy.mapped)
            if timeout:
                client.say(b"on")
                assert upstream.hear_bytes(2) == b"on"
                upstream.say(b"and on")
                assert client.hear_bytes(6) == b"and on"
            else:
                assert client.hears_end() == upstream.hears_end() == b""


def test_the_greatest_age() -> None:
    """A WebSocket has the greatest age of any connection."""
    with HTTPStage(max_age=0.4) as stage:
        client, _ = upgraded(stage)
        assert client.hears_end() == b""


def test_an_upgrade_has_the_timeouts_of_its_route() -> None:
    """An upgraded connection without a byte ends by the idle timeout of its route."""
    with HTTPStage(routes={"web.example": {"idle_timeout": 0.3}}) as stage:
        upgraded(stage)
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
