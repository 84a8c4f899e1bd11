"""Connections to upstreams in HTTP mode: kept, reused, and how responses end."""

import pytest

from tests.support.http_stage import DATE, GET, OK, HTTPStage, exchange


def test_connections_are_kept_on_both_sides() -> None:
    """Requests of several clients follow each other on one connection."""
    with HTTPStage() as stage:
        one, other = stage.client(), stage.client()
        one.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        one.hear_message()
        for client in (one, other, other, one):
            exchange(client, upstream)


def test_clients_of_http_1_0_get_no_chunks() -> None:
    """A client of HTTP/1.0 gets the data of a chunked response, up to the end."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"GET / HTTP/1.0\r\n\r\n")
        upstream = stage.upstream()
        assert b"\r\nHost: 127.0.0.1:" in upstream.hear()
        head = b"HTTP/1.1 200 OK\r\n" + DATE
        upstream.say(head + b"Transfer-Encoding: chunked\r\n\r\n")
        upstream.say(b"2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n")
        assert client.hears_end() == head + b"Connection: close\r\n\r\nabc"


def test_a_response_may_end_with_its_connection() -> None:
    """A response without a length passes, and ends where the upstream's does."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        upstream.close()
        assert client.hears_end().endswith(b"Connection: close\r\n\r\nall of it")


def test_a_response_that_is_cut_does_not_look_complete() -> None:
    """A client is reset where its response lacks a part."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        client.hear()
        upstream.close()
        with pytest.raises(ConnectionResetError):
            client.hears_end()


@pytest.mark.parametrize(
    "response",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    ],
)
def test_some_connections_are_not_kept(response: bytes) -> None:
    """Bytes behind a response go to no client, and its connection gets no request.

    Nor does one that its instance is about to end.
    """
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(response)
        assert client.hear_message()[1] == b"ok"
        client.say(GET)
        other = stage.upstream()
        other.hear()
        other.say(OK)
        assert client.hear_message() == (OK[:-2], b"ok")


def test_clients_of_http_1_0_get_no_interim_response() -> None:
    """A client of HTTP/1.0 gets the final response alone."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK)
        assert client.hears_end().startswith(b"HTTP/1.1 200 OK\r\n")


def test_no_instance_changes_the_protocol_unasked() -> None:
    """A 101 is a bad response to a request without Upgrade: no tunnel begins."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        assert client.hear_message()[0].startswith(b"HTTP/1.1 502 ")
        assert upstream.hears_end() == b""
        client.say(GET)
        again = stage.upstream()
        again.hear()
        again.say(OK)
        assert client.hear_message()[1] == b"ok"
