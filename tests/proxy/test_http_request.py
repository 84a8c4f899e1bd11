"""Requests on their way to an instance that is gone."""

import pytest

from lbconsul.proxy.http_upstream import UpstreamConnection
from tests.support import loopback
from tests.support.http_stage import GET, HTTPStage, exchange
from tests.support.waiting import eventually

PUT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


def fail(*args: object) -> None:
    """Send in vain."""
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("method", "length"), [("send", 100_000), ("send_pipe", 3_000_000)]
)
def test_an_instance_may_go_during_an_upload(
    method: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client learns that the instance does not take its body."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(PUT % length)
        upstream = stage.upstream()
        upstream.hear()
        monkeypatch.setattr(UpstreamConnection, method, fail)
        client.say(b"x")
        assert client.hear_message()[0].startswith(b"HTTP/1.1 502 ")
        assert upstream.hears_end() == b""


def test_an_idle_connection_may_be_reset() -> None:
    """A request gets a new connection where the kept one was reset."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 204 No\r\n\r\n")
        client.hear()
        http = stage.proxy.mapped.http
        assert http is not None
        eventually(lambda: http.idle.count == 1, "the connection is kept")
        loopback.reset(upstream.sock)
        eventually(lambda: http.idle.count == 0, "the connection is forgotten")
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 204 No\r\n\r\n")
        client.hear()
        exchange(client, upstream)
