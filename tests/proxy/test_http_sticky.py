"""``sticky=cookie``: which instance a client comes to, and what it is told."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.http_stage import GET, OK, HTTPStage, Peer

_COOKIE = re.compile(rb"\r\nSet-Cookie: lb=([\w-]{22}); ")

REFUSAL = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def staged(upstreams: int = 3, **options: Any) -> Iterator[HTTPStage]:
    """A mapping with a cookie, over so many upstreams."""
    with HTTPStage(upstreams, sticky="lb", **options) as stage:
        yield stage


def with_cookie(*tokens: bytes) -> bytes:
    """A request with these values of the cookie, and one of the application."""
    pairs = b"".join(b"lb=%b; " % each for each in tokens)
    return GET[:-2] + b"Cookie: %bsid=1\r\n\r\n" % pairs


class Site:
    """A client, and the upstreams that it comes to."""

    def __init__(self, stage: HTTPStage) -> None:
        self.stage, self.known = stage, dict[int, Peer]()
        self.client = stage.client()
        #: What the last upstream and the client have heard.
        self.asked = self.answered = b""

    def ask(self, request: bytes, response: bytes = OK) -> int:
        """The number of the upstream that gets the request, and answers so."""
        self.client.say(request)
        number = self.serve(response)
        self.answered = self.client.hear_message()[0]
        return number

    def serve(self, response: bytes) -> int:
        """Have the upstream that gets the next request answer it."""
        number, peer = self.stage.next_request(self.known)
        self.known[number] = peer
        peer.say(response)
        return number

    @property
    def token(self) -> bytes:
        """The cookie that the client was given; empty if none."""
        found = _COOKIE.search(self.answered)
        return found[1] if found else b""


def test_a_client_comes_again() -> None:
    """The first answer has a cookie; with it all requests go to one instance."""
    with staged() as stage:
        site = Site(stage)
        first = site.ask(GET)
        token = site.token
        assert b"\r\nCache-Control: private\r\n" in site.answered
        for _ in range(5):
            assert site.ask(with_cookie(token)) == first
            assert site.answered == OK[:-2]  # neither a cookie nor anything else
        other = Site(stage)  # on another connection
        other.known = site.known
        assert other.ask(with_cookie(token)) == first
        http = stage.proxy.mapped.stats.use_http()
        assert (http.bound, http.stuck, http.moved_elsewhere) == (1, 6, 0)


def test_new_clients_are_balanced() -> None:
    """Those without a cookie are for the policy, as ever."""
    with staged() as stage:
        site = Site(stage)
        tokens = set()
        for _ in range(50):
            site.ask(GET)
            tokens.add(site.token)
        assert len(tokens) == 3


@pytest.mark.parametrize(
    "values",
    [
        [b"x" * 22],
        [b""],
        [b"x" * 5000],
        [b"\xff" * 22],
        [b"dc1/node-1/web0"],
        [b"127.0.0.1:80"],
        [b"x" * 22] * 30,
    ],
)
def test_what_is_forged_is_ignored(values: list[bytes]) -> None:
    """The client is served as one without a cookie, and gets one."""
    with staged() as stage:
        site = Site(stage)
        site.ask(with_cookie(*values))
        assert site.token


def test_one_of_several_that_holds_counts() -> None:
    """A browser sends those of several paths: the first one that holds is taken."""
    with staged() as stage:
        site = Site(stage)
        first = site.ask(GET)
        token = site.token
        for _ in range(4):
            assert site.ask(with_cookie(b"y" * 22, token)) == first
            assert not site.token


def test_the_instance_does_not_get_it() -> None:
    """It gets the application's cookies, and not the gateway's."""
    with staged(1) as stage:
        client = stage.client()
        client.say(with_cookie(b"x" * 22))
        upstream = stage.upstream()
        heard = upstream.hear()
        assert b"\r\nCookie: sid=1\r\n" in heard
        assert b"lb=" not in heard
        upstream.say(OK)
        client.hear_message()


def test_an_answer_that_is_private_already() -> None:
    """What the instance says of caches stays as it is, if it suffices."""
    with staged(1) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK.replace(b"Content-L", b"Cache-Control: no-store\r\nContent-L"))
        head, _ = client.hear_message()
        assert head.count(b"Cache-Control") == 1
        assert _COOKIE.search(head)


def test_attributes() -> None:
    """The cookie is as the options say."""
    with staged(
        1,
        cookie_path="/app",
        cookie_max_age=60.0,
        cookie_secure="on",
        cookie_http_only=False,
        cookie_same_site="none",
    ) as stage:
        site = Site(stage)
        site.ask(GET)
        assert b"; Path=/app; Max-Age=60; Secure; SameSite=None\r\n" in site.answered


def test_behind_a_proxy_with_tls() -> None:
    """A trusted proxy in front has decrypted: the cookie is for TLS alone."""
    with staged(1, trusted_proxies=("127.0.0.0/8",)) as stage:
        site = Site(stage)
        site.ask(GET[:-2] + b"X-Forwarded-Proto: https\r\n\r\n")
        assert b"; Secure; HttpOnly; SameSite=Lax\r\n" in site.answered


def test_another_instance_answers() -> None:
    """Where `retry-on` tries another instance, the client is that one's."""
    with staged(2, retry_on=frozenset({"503"})) as stage:
        site = Site(stage)
        first = site.ask(GET)
        token = site.token
        site.client.say(with_cookie(token))
        assert site.serve(REFUSAL) == first
        assert site.serve(OK) == 1 - first
        site.answered = site.client.hear_message()[0]
        assert site.token not in (b"", token)
        assert site.ask(with_cookie(site.token)) == 1 - first


def test_a_full_instance_has_its_clients_wait() -> None:
    """Their session is there, and nowhere else; others do not wait for it."""
    with staged(2, max_connections_per_upstream=1) as stage:
        site = Site(stage)
        first = site.ask(GET)
        token = site.token
        site.client.say(with_cookie(token))
        number, busy = stage.next_request(site.known)
        assert number == first
        waiting = stage.client()
        waiting.say(with_cookie(token))
        other = Site(stage)
        other.known = site.known
        assert other.ask(GET) == 1 - first  # not held up
        busy.say(OK)
        assert site.client.hear_message()[1] == b"ok"
        assert site.serve(OK) == first
        assert _COOKIE.search(waiting.hear_message()[0]) is None


def test_a_web_socket_gets_the_cookie() -> None:
    """An answer that switches protocols has it as well."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with staged(1) as stage:
        client = stage.client()
        client.say(GET[:-2] + upgrade)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
        assert _COOKIE.search(client.hear())
