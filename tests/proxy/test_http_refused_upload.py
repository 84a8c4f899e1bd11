"""Uploads that an instance refuses before it has read them."""

import socket
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.http_stage import DATE, GET, OK, HTTPStage, Peer
from tests.support.loopback import reset, stuff
from tests.support.waiting import eventually

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 No\r\n%bContent-Length: 2\r\n\r\nno" % DATE


def refuse(stage: HTTPStage, client: Peer, upstream: Peer) -> None:
    """Have the refusal arrive while the gateway is about to send more of a body."""
    upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with stage.at_once():
        client.say(b"more")
        upstream.say(REFUSAL)
        reset(upstream.sock)


def test_the_answer_to_a_refused_upload() -> None:
    """A client learns why its upload is refused, though the instance resets."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(POST % 9999)
        upstream = stage.upstream()
        upstream.hear()
        refuse(stage, client, upstream)
        head, body = client.hear_message()
        assert head.startswith(b"HTTP/1.1 413 No\r\n")
        assert b"\r\nConnection: close\r\n" in head
        assert body == b"no"
        client.say(b"still more")
        client.end()
        assert client.hears_end() == b""


def test_the_answer_to_an_upload_in_chunks() -> None:
    """So does a client that sends chunks, and its connection goes on after the last."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        with stage.at_once():
            client.say(b"4\r\nmore\r\n0\r\n\r\n")
            upstream.say(REFUSAL)
            reset(upstream.sock)
        assert client.hear_message()[0].startswith(b"HTTP/1.1 413 No\r\n")
        client.say(GET)
        other = stage.upstream()
        other.hear()
        other.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_the_answer_of_an_instance_with_tls(tmp_path: Path) -> None:
    """What an instance has sent over TLS before a reset arrives as well."""
    issued = Authority(tmp_path).issue("localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    with HTTPStage(upstream_tls=True, upstream_verify=False) as stage:
        client = stage.client()
        client.say(POST % 9999)
        sock = context.wrap_socket(stage.upstream().sock, server_side=True)
        upstream = Peer(stage.enter(sock))
        upstream.hear()
        refuse(stage, client, upstream)
        assert client.hear_message() == (REFUSAL[:-2], b"no")
        client.end()
        assert client.hears_end() == b""


def test_a_long_answer_to_an_instance_that_was_full() -> None:
    """A long answer arrives whole although the rest of the upload cannot be sent."""
    body = bytes(63_000)  # more than one read, and less than a window
    with HTTPStage() as stage:
        client = stage.client()
        client.say(POST % (1 << 30))
        upstream = stage.upstream()
        upstream.hear()

        def is_full() -> bool:
            stuff(client.sock, 1 << 20)
            exchange = stage.session()._begun
            assert exchange is not None and exchange.upstream is not None
            return exchange.upstream.is_full

        eventually(is_full, "the upstream has no room")
        with stage.at_once():
            upstream.say(b"HTTP/1.1 413 No\r\nContent-Length: 63000\r\n\r\n" + body)
            reset(upstream.sock)
        assert client.hear_message()[1] == body


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
def test_an_instance_that_only_resets(method: bytes) -> None:
    """A client is told so where there is no answer."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(POST.replace(b"POST", method) % 9999)
        upstream = stage.upstream()
        upstream.hear()
        with stage.at_once():
            client.say(b"more")
            reset(upstream.sock)
        assert client.hear_message()[0].startswith(b"HTTP/1.1 502 ")
