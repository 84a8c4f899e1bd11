"""Requests that are sent again: when, where to, and what the client gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lbconsul.balance.retry_budget import RetryBudget
from lbconsul.http.request import RequestHead
from lbconsul.proxy.http_upstream import ResponseUser, UpstreamConnection
from tests.support.http_stage import GET, OK, HTTPStage, Peer, exchange

PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
POST = PUT.replace(b"PUT", b"POST")


def error(status: int, name: bytes = b"") -> bytes:
    """A response with an error, whose body is the name."""
    return b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(name),
        name,
    )


ALL = frozenset({"502", "503", "504", "timeout"})


@contextmanager
def staged(upstreams: int = 2, **options: Any) -> Iterator[HTTPStage]:
    """A mapping that tries again for all reasons."""
    with HTTPStage(upstreams, retry_on=ALL, **options) as stage:
        yield stage


def first(stage: HTTPStage) -> tuple[int, Peer, dict[int, Peer]]:
    """The upstream that got a request first."""
    known = dict[int, Peer]()
    number, peer = stage.next_request(known)
    return number, peer, known


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("request_", [GET, PUT + b"abc"])
def test_another_instance_answers(status: int, request_: bytes) -> None:
    """A client gets a good response where one of two instances has an error."""
    with staged() as stage:
        client = stage.client()
        client.say(request_)
        number, peer, known = first(stage)
        peer.say(error(status))
        other, peer = stage.next_request(known)
        assert other != number
        peer.say(OK)
        assert client.hear_message() == (OK[:-2], b"ok")
        assert stage.proxy.opens() == {"web0": 0, "web1": 0}
        client.say(GET)
        _, peer = stage.next_request(known)
        peer.say(OK)  # on one of the connections, both of which were kept
        assert client.hear_message()[1] == b"ok"


def test_the_body_is_sent_again() -> None:
    """The other instance gets the whole request, with its body."""
    with staged() as stage:
        client = stage.client()
        client.say(PUT, b"ab", b"c")
        number, peer, _ = first(stage)
        peer.say(error(503))
        other = stage.upstream(1 - number)
        assert other.hear().startswith(b"PUT / HTTP/1.1\r\n")
        assert other.hear_bytes(3) == b"abc"
        other.say(OK)
        assert client.hear_message()[1] == b"ok"


@pytest.mark.parametrize("request_", [POST + b"abc", PUT.replace(b" 3", b" 65537")])
def test_some_requests_are_sent_once(request_: bytes) -> None:
    """A request that may have an effect twice, or with a long body, is sent once."""
    with staged() as stage:
        client = stage.client()
        client.say(request_)
        if b"65537" in request_:
            client.say(bytes(65537))
        _, peer, _ = first(stage)
        peer.say(error(503, b"busy"))
        assert client.hear_message()[1] == b"busy"


def test_the_last_real_response_wins() -> None:
    """If all instances have an error, the client gets that of the last one."""
    with staged(upstreams=3) as stage:
        client = stage.client()
        client.say(GET)
        _, peer, known = first(stage)
        for status in (502, 503, 504):
            peer.say(error(status, b"%d" % status))
            if status < 504:
                _, peer = stage.next_request(known)
        assert sorted(known) == [0, 1, 2]
        assert client.hear_message()[1] == b"504"


def test_no_more_than_the_attempts() -> None:
    """A request goes to no more instances than `attempts` says."""
    with staged(upstreams=3, attempts=2) as stage:
        client = stage.client()
        client.say(GET)
        _, peer, known = first(stage)
        peer.say(error(503, b"one"))
        _, peer = stage.next_request(known)
        peer.say(error(503, b"two"))
        assert client.hear_message()[1] == b"two"


def test_an_instance_alone_is_not_tried_again() -> None:
    """A request does not come to one instance a second time."""
    with staged(upstreams=1) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(error(503, b"busy"))
        assert client.hear_message()[1] == b"busy"


@pytest.mark.parametrize("length", [4, 200_000])
def test_a_response_is_kept_until_there_is_a_better_one(length: int) -> None:
    """The client gets the whole response with an error if no other instance answers."""
    with staged() as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        stage.refuse(1 - number)
        body = b"busy" * (length // 4)
        peer.say(error(503, body))
        assert client.hear_message()[1] == body
        exchange(client, peer)


@pytest.mark.parametrize("length", [4, 200_000])
def test_the_kept_response_is_passed_if_the_other_instance_fails(length: int) -> None:
    """The client gets an instance's error rather than that another one hung up."""
    with staged() as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        body = b"busy" * (length // 4)
        response = error(503, body)
        peer.say(response[:80])
        other = stage.upstream(1 - number)
        other.hear()
        other.close()
        peer.say(response[80:])
        assert client.hear_message()[1] == body
        assert stage.proxy.opens() == {"web0": 0, "web1": 0}


def test_a_kept_response_that_is_long_is_not_read_on() -> None:
    """A response with an error costs its connection, if it is not whole."""
    with staged() as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        peer.say(error(503, bytes(100))[:-50])
        other = stage.upstream(1 - number)
        other.hear()
        other.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert peer.hears_end() == b""


def test_an_instance_that_hangs_up_is_replaced() -> None:
    """With 502 a connection that ends without a response counts as one."""
    with staged() as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        peer.close()
        other = stage.upstream(1 - number)
        other.hear()
        other.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_an_instance_that_takes_too_long_is_replaced() -> None:
    """With `timeout` another instance answers for one that hangs."""
    with staged(response_timeout=0.2) as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        other = stage.upstream(1 - number)
        other.hear()
        other.say(OK)
        assert client.hear_message()[1] == b"ok"
        assert peer.hears_end() == b""


def test_the_budget_bounds_retries() -> None:
    """Once a fifth of all requests was sent again, errors pass as they are."""
    with staged() as stage:
        http = stage.proxy.mapped.http
        assert http is not None
        http.retry_budget = RetryBudget(left=1.0)
        client = stage.client()
        client.say(GET)
        _, peer, known = first(stage)
        peer.say(error(503))
        _, peer = stage.next_request(known)
        peer.say(OK)
        assert client.hear_message()[1] == b"ok"
        client.say(GET)
        _, peer = stage.next_request(known)
        peer.say(error(503, b"busy"))
        assert client.hear_message()[1] == b"busy"


def test_a_client_that_leaves_frees_all() -> None:
    """No instance is left busy where the client leaves while another one is tried."""
    with staged() as stage:
        client = stage.client()
        client.say(GET)
        number, peer, _ = first(stage)
        peer.say(error(503))
        other = stage.upstream(1 - number)
        other.hear()
        assert stage.proxy.opens() == {"web0": 1, "web1": 1}
        client.close()
        other.say(OK)
        stage.proxy.wait_until_open(0)
        assert stage.proxy.opens() == {"web0": 0, "web1": 0}


def test_an_upgrade_follows_an_error() -> None:
    """A WebSocket gets another instance for one with an error."""
    with staged() as stage:
        client = stage.client()
        client.say(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        number, peer, _ = first(stage)
        peer.say(error(503))
        other = stage.upstream(1 - number)
        other.hear()
        other.say(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        assert client.hear().startswith(b"HTTP/1.1 101 ")
        assert stage.proxy.opens()[f"web{number}"] == 0
        other.end()
        client.end()
        stage.proxy.wait_until_open(0)


@pytest.mark.parametrize("request_", [GET, POST + b"abc"])
def test_a_request_of_which_nothing_was_sent_is_repeated(
    request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any request gets a new connection if the kept one takes no byte of it."""
    begin, failures = UpstreamConnection.begin, [ConnectionResetError()]

    def begin_or_fail(
        self: UpstreamConnection, user: ResponseUser, request: bytes, head: RequestHead
    ) -> None:
        if self.is_reused and failures:
            self.user, self._has_head = user, False
            raise failures.pop()
        begin(self, user, request, head)

    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        monkeypatch.setattr(UpstreamConnection, "begin", begin_or_fail)
        client.say(request_)
        upstream = stage.upstream()
        upstream.hear_message()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_a_request_that_may_have_arrived_is_not_repeated() -> None:
    """A POST that was sent on a kept connection which then ends is not sent again."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        client.say(POST + b"abc")
        upstream.hear_message()
        upstream.close()
        assert client.hear_message()[0].startswith(b"HTTP/1.1 502 ")
