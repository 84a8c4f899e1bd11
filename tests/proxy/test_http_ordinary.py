"""Ordinary requests: what a client, an upstream and the log see is that of any other.

Each scenario is played twice, once where no request is ordinary.
"""

import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from twisted.logger import LogEvent, capturedLogs

from lbconsul.net.sockets import BareSocket
from lbconsul.proxy import http_requests, http_time_limits
from lbconsul.proxy.handler import handle
from lbconsul.proxy.http_session import HTTPSession
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.stats.http import CLASSES, HTTPStats
from tests.support import loopback
from tests.support.http_stage import GET, OK, HTTPStage, Peer
from tests.support.loopback import reset
from tests.support.waiting import eventually

HEAD = GET.replace(b"GET", b"HEAD")

PUT = b"PUT / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 2\r\n\r\nab"
CLOSE = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
OF_1_0 = GET.replace(b"1.1", b"1.0").replace(
    b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"
)

#: What differs from one request to the next.
#: What differs in any case: names of requests, and dates.
_ID = re.compile(rb"[0-9a-f]{16}-[0-9a-f]{8}|(?<=\r\nDate: )[^\r]*")
_VARIES = frozenset(
    ["request_id", "client", "seconds", "line", "TR", "Tw", "Tc", "Tr", "Ta"]
)


class Scene:
    """A stage on which a client's second request is under way."""

    def __init__(self, stage: HTTPStage, request: bytes, *, ordinary: bool) -> None:
        self.stage = stage
        settings = stage.proxy.mapped.http
        assert settings is not None
        settings.is_ordinary = ordinary
        stage.narrow_upstream()
        self.client = stage.client()
        self.client.say(GET)
        self.upstream = stage.upstream()
        self.upstream.hear_message()
        self.session = stage.session()
        stream = self._used().stream
        small = (4096).to_bytes(4, sys.byteorder)
        stage.proxy.call(stream.setsockopt, socket.SOL_SOCKET, socket.SO_SNDBUF, small)
        self.upstream.say(OK)
        self.client.hear_message()
        with stage.at_once():  # it is read as a whole
            self.client.say(request)
        self.asked = self.upstream.hear()
        #: The upstream's connection, and how much of it is read.
        self.used = self._used()
        self.moved = self.used.moved
        assert (self.session._carrier is not None) == ordinary

    def _used(self) -> UpstreamConnection:
        carrier, exchange = self.session._carrier, self.session._begun
        if carrier is None:
            assert exchange is not None
            carrier = exchange.upstream
        assert carrier is not None
        return carrier

    def heard(self) -> bytes:
        """All that the client hears; whether it ends with a reset."""
        try:
            return self.client.hears_end()
        except ConnectionResetError:
            return self.client._heard + b" reset"


def http(stage: HTTPStage) -> HTTPStats:
    """The counts of a stage's mapping."""
    stats = stage.proxy.mapped.stats.http
    assert stats is not None
    return stats


def _told(logs: Sequence[LogEvent]) -> list[dict[str, Any]]:
    """What the log tells of requests, without what differs in each."""
    found = [each for each in tuple(logs) if "request_id" in each]
    return [
        {name: each[name] for name in each.keys() - _VARIES if name[:4] != "log_"}
        | {"upstream": each["upstream"].partition(" ")[0]}
        for each in found
    ]


def _counted(stats: HTTPStats) -> dict[str, object]:
    return {
        "classes": dict(zip(CLASSES, stats.classes, strict=True)),
        "bytes": (stats.received, stats.sent),
        "others": (stats.retries, stats.reused, dict(stats.refused)),
        "times": (sum(stats.request.counts), sum(stats.first_byte.counts)),
        "accounts": [
            (each.classes, each.received, each.sent, each.answered)
            for each in stats.accounts.values()
        ],
        "changed": len(stats.take_changed()),
    }


def play(
    act: Callable[[Scene], object],
    request: bytes = GET,
    *,
    ordinary: bool,
    **options: Any,
) -> tuple[object, object, list[dict[str, Any]], object]:
    """What is seen of a scene, in all places."""
    with capturedLogs() as logs:
        with HTTPStage(**options) as stage:
            scene = Scene(stage, request, ordinary=ordinary)
            heard = act(scene)
            stats = http(stage)
        return (
            _ID.sub(b"-", scene.asked),
            _ID.sub(b"-", heard) if isinstance(heard, bytes) else heard,
            _told(logs),
            _counted(stats),
        )


def is_the_same(
    act: Callable[[Scene], object], request: bytes = GET, **options: Any
) -> None:
    """Assert that an ordinary request ends as one with an exchange from the start."""
    ordinary = play(act, request, ordinary=True, **options)
    assert ordinary == play(act, request, ordinary=False, **options)
    assert len(ordinary[2]) > 1  # the log has told of the request


def answering(*parts: bytes, closes: bool = False) -> Callable[[Scene], bytes]:
    """The upstream says these parts, and the client ends once it has heard them."""

    def act(scene: Scene) -> bytes:
        for number, part in enumerate(parts):
            scene.upstream.say(part)
            if number < len(parts) - 1:
                eventually(lambda: scene.used.moved > scene.moved, "it is read")
                scene.moved = scene.used.moved
        if closes:
            scene.upstream.close()
        with suppress(OSError):  # it may have been reset
            scene.client.end()
        return scene.heard()

    return act


RESPONSES = {
    "whole": [OK],
    "without a body": [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
    "with a line for this hop": [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\nKeep-Alive: 9\r\n\r\n")
    ],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "not modified": [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
    "not found": [OK.replace(b"200", b"404")],
    "an error": [OK.replace(b"200", b"500")],
    "an unusual status": [OK.replace(b"200", b"700")],
    "chunked": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ],
    "chunked, in parts": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2\r\nok",
        b"\r\n0\r\n\r\n",
    ],
    "a head in parts": [OK[:9], OK[9:]],
    "a body in parts": [OK[:-1], OK[-1:]],
    "another head": [OK.replace(b"OK", b"Fine")],
    "an interim one before": [b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n", OK],
    "a 100 that was not asked for before": [b"HTTP/1.1 100 Continue\r\n\r\n" + OK],
    "an upgrade that was not asked for": [
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ],
    "no HTTP": [b"SSH-2.0-OpenSSH\r\n"],
    "one that ends the connection": [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    ],
    "more than one": [OK + OK],
    "of HTTP/1.0": [OK.replace(b"1.1", b"1.0")],
    "that binds": [
        OK.replace(b"200", b"401").replace(
            b"\r\n\r\n", b"\r\nWWW-Authenticate: NTLM\r\n\r\n"
        )
    ],
}


@pytest.mark.parametrize("response", RESPONSES)
def test_responses(response: str) -> None:
    """Whatever comes from the upstream, the client gets the same."""
    is_the_same(answering(*RESPONSES[response]))


@pytest.mark.parametrize("response", ["whole", "not found"])
def test_responses_to_head(response: str) -> None:
    """A response to HEAD has no body, whatever length it tells."""
    (whole,) = RESPONSES[response]
    is_the_same(answering(whole[: whole.index(b"\r\n\r\n") + 4]), HEAD)


@pytest.mark.parametrize("request_", [PUT, PUT.replace(b"PUT", b"POST"), CLOSE])
@pytest.mark.parametrize("response", ["whole", "a body in parts", "an error"])
def test_requests(request_: bytes, response: str) -> None:
    """A body that has come with its head is passed on, and the wish to close."""

    def act(scene: Scene) -> bytes:
        if request_ is not CLOSE:
            assert scene.upstream.hear_bytes(2) == b"ab"
        return answering(*RESPONSES[response])(scene)

    is_the_same(act, request_)


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"


@pytest.mark.parametrize(
    "said", [UNTIL_CLOSE, OK[:-1], OK[:9], OK.replace(b": 2", b": 999999")]
)
def test_ends_of_the_upstream(said: bytes) -> None:
    """An upstream that ends its connection in the middle is told as such."""
    is_the_same(answering(said, closes=True))


def test_a_request_whose_upstream_ends_its_connection_is_repeated() -> None:
    """A kept connection may end at any time: the request goes to a new one."""

    def act(scene: Scene) -> bytes:
        scene.upstream.close()
        again = scene.stage.upstream()
        assert _ID.sub(b"-", again.hear()) == _ID.sub(b"-", scene.asked)
        again.say(OK)
        scene.client.end()
        return scene.heard()

    is_the_same(act)


LARGE_PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + bytes(40000)
TOO_LARGE = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize("said", [TOO_LARGE, b""], ids=["refusal", "reset"])
@pytest.mark.parametrize(
    "request_", [LARGE_PUT, LARGE_PUT.replace(b"PUT", b"POST")], ids=["PUT", "POST"]
)
def test_a_request_of_which_the_upstream_takes_no_more(
    request_: bytes, said: bytes
) -> None:
    """A response that came before the rest could not be sent is passed on."""

    def act(scene: Scene) -> bytes:
        eventually(lambda: scene.used.is_full, "the upstream has no room")
        scene.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def cut() -> None:
            # It resets as the proxy is about to send, before that is seen.
            scene.upstream.say(said)
            reset(scene.upstream.sock)
            scene.used.doWrite()

        scene.stage.proxy.call(cut)
        if not said and request_ is LARGE_PUT:
            again = scene.stage.upstream()
            again.hear_bytes(len(scene.asked) + 40000)
            again.say(OK)
        scene.client.end()
        return scene.heard()

    is_the_same(act, request_)


def test_a_request_that_no_upstream_takes_any_more() -> None:
    """If no new connection is had either, the client learns that."""

    def act(scene: Scene) -> bytes:
        scene.stage.refuse()
        scene.upstream.close()
        scene.client.end()
        return scene.heard()

    is_the_same(act)


def _resets(scene: Scene) -> str:
    reset(scene.client.sock)
    scene.stage.proxy.wait_until_open(0)
    return "gone"


def test_a_client_that_goes_away() -> None:
    """A client that resets its connection is told as such."""
    is_the_same(_resets)


def _leaves_before_the_response(scene: Scene) -> str:
    scene.stage.proxy.call(scene.session.pause)
    reset(scene.client.sock)
    scene.upstream.say(OK)
    scene.stage.proxy.wait_until_open(0)
    return "gone"


def test_a_client_that_goes_away_as_the_response_comes() -> None:
    """Nor does the response reach it."""
    is_the_same(_leaves_before_the_response)


def test_a_client_that_ends_its_direction_gets_its_response() -> None:
    """A client may end its direction at once."""

    def act(scene: Scene) -> bytes:
        scene.client.end()
        eventually(lambda: scene.session.has_ended, "the end is read")
        scene.upstream.say(OK)
        return scene.heard()

    is_the_same(act)


def test_requests_that_follow_at_once() -> None:
    """Requests of one packet are answered in turn."""

    def act(scene: Scene) -> bytes:
        for _ in range(3):
            scene.upstream.say(OK)
            scene.upstream.hear()
        scene.upstream.say(OK)
        scene.client.end()
        return scene.heard()

    is_the_same(act, GET * 4)


def test_a_request_that_follows_in_parts() -> None:
    """The beginning of the next request waits for its rest."""

    def act(scene: Scene) -> bytes:
        scene.upstream.say(OK)
        scene.client.hear_message()
        scene.client.say(GET[9:])
        scene.upstream.hear()
        scene.upstream.say(OK)
        scene.client.end()
        return scene.heard()

    is_the_same(act, GET + GET[:9])


def test_a_client_that_does_not_read() -> None:
    """What has no room at a client is kept, and its next request waits for that."""
    large = OK.replace(b": 2", b": 30002").replace(b"ok", b"o" * 30001 + b"k")
    with HTTPStage() as stage:
        client = stage.narrow_client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        client.say(GET)
        upstream.hear()
        session = stage.session()
        assert session._carrier is not None
        upstream.say(large)
        eventually(lambda: session.is_full, "the client's buffers are full")
        client.say(GET)
        eventually(lambda: session._buffer, "the next request waits")
        assert client.hear_message()[1][-2:] == b"ok"
        upstream.hear()
        upstream.say(OK)
        assert client.hear_message()[1] == b"ok"


def test_a_deadline() -> None:
    """A response that does not come in time is 504."""

    def act(scene: Scene) -> bytes:
        head, body = scene.client.hear_message()
        scene.client.end()
        return head + body + scene.heard()

    is_the_same(act, response_timeout=0.2)


def test_a_response_within_the_rounds_of_the_sweeper() -> None:
    """A response that takes as long as a check is passed on as any other."""

    def act(scene: Scene) -> bytes:
        eventually(lambda: scene.session._begun is not None, "a check")
        return answering(OK)(scene)

    is_the_same(act, response_timeout=9.0, idle_timeout=0.4)


def test_a_mapping_that_drains_meanwhile() -> None:
    """The client's connection ends with the response."""

    def act(scene: Scene) -> bytes:
        scene.stage.proxy.call(scene.stage.proxy.mapped.drain)
        scene.upstream.say(OK)
        return scene.heard()

    is_the_same(act)


def test_a_hard_stop_meanwhile() -> None:
    """Where the gateway stops at once the connection ends."""

    def act(scene: Scene) -> bytes:
        scene.stage.proxy.call(scene.stage.proxy.mapped.close_connections)
        return scene.heard()

    is_the_same(act)


def test_a_load_and_requests_under_way_are_counted() -> None:
    """An ordinary request is counted as a connection to its instance, for its time."""
    with HTTPStage() as stage:
        scene = Scene(stage, GET, ordinary=True)
        settings = stage.proxy.mapped.http
        assert settings is not None
        assert settings.active == 1
        assert stage.proxy.call(stage.proxy.registry.open_connections) == 1
        assert scene.session.is_relaying
        lease = stage.proxy.call(lambda: scene.session.lease)
        assert lease.instance.identity.service_id == "web0"
        scene.upstream.say(OK)
        scene.client.hear_message()
        eventually(lambda: not settings.active, "the request is over")
        assert stage.proxy.call(stage.proxy.registry.open_connections) == 0


def test_what_an_ejected_instance_answers_is_judged() -> None:
    """An instance with failures behind it is judged by ordinary requests as well."""

    def act(scene: Scene) -> bytes:
        scene.upstream.say(OK.replace(b"200", b"500"))
        scene.client.hear_message()
        scene.client.say(GET)
        scene.upstream.hear()
        return answering(OK)(scene)

    is_the_same(act, eject_5xx=5)


def test_retries_elsewhere() -> None:
    """With `retry-on` another instance answers for one that fails."""
    with HTTPStage(upstreams=2, retry_on=("503",)) as stage:
        client, known = stage.client(), dict[int, Peer]()
        session: HTTPSession | None = None
        for _ in range(12):
            client.say(GET)
            upstream = stage.next_request(known)[1]
            session = session or stage.session()
            if len(known) == 2 and session._carrier is not None:
                upstream.say(OK.replace(b"200", b"503"))
                upstream = stage.next_request(known)[1]
            upstream.say(OK)
            assert client.hear_message()[0].startswith(b"HTTP/1.1 200 ")
        assert http(stage).retries > 0


@pytest.mark.parametrize(
    "request_",
    [
        OF_1_0,
        PUT[:-1],
        PUT.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nAuthorization: NTLM abc\r\n\r\n"),
    ],
)  # fmt: skip
def test_requests_that_are_not_ordinary(request_: bytes) -> None:
    """A request with anything special about it has an exchange from the start."""
    with HTTPStage() as stage:
        scene = Scene(stage, GET, ordinary=True)
        scene.upstream.say(OK)
        scene.client.hear_message()
        scene.client.say(request_)
        scene.upstream.hear()
        assert scene.session._carrier is None
        assert scene.session._begun is not None


@pytest.mark.parametrize(
    "options",
    [
        {"via": True},
        {"traceparent": True},
        {"upstream_host": "a"},
        {"server_timing": True},
    ],
)
def test_mappings_whose_requests_are_not_ordinary(options: dict[str, Any]) -> None:
    """Where a mapping changes what is passed on, requests have what it adds."""
    with HTTPStage(**options) as stage:
        settings = stage.proxy.mapped.http
        assert settings is not None
        assert settings.is_ordinary == ("upstream_host" in options)


def _asked(stage: HTTPStage, kept: list[Peer], address: str, request: bytes) -> bytes:
    """What the upstream gets of a client at this address that connects and asks.

    `kept` is the upstream's connection, once there is one.
    """

    def connect() -> socket.socket:
        # While the proxy does not run, so that it finds the request at the accept.
        client = socket.socket()
        client.bind((address, 0))
        client.settimeout(loopback.PATIENCE)
        there = stage.proxy.address
        assert isinstance(there, tuple)
        client.connect(there)
        client.sendall(request)
        return client

    client = Peer(stage.enter(stage.proxy.call(connect)))
    if not kept:
        kept.append(stage.upstream())
    asked = kept[0].hear()
    kept[0].say(OK)
    client.hear_message()
    return asked


def test_first_requests_that_are_equal() -> None:
    """What clients send that connect again is planned once for each address."""
    with HTTPStage() as stage:
        proxy = stage.proxy
        settings = proxy.mapped.http
        assert settings is not None
        with_cookie = GET[:-2] + b"Cookie: secret\r\n\r\n"
        plans, kept = [], list[Peer]()
        for address, request in (
            ("127.0.0.1", GET),
            ("127.0.0.1", GET),
            ("127.0.0.2", GET),
            ("127.0.0.1", with_cookie),
            ("127.0.0.1", GET),
        ):
            asked = _asked(stage, kept, address, request)
            assert (b"Cookie: secret" in asked) == (request is with_cookie)
            assert f"X-Forwarded-For: {address}\r\n".encode() in asked
            plans.append(settings.plans[address])
        assert [plans.index(each) for each in plans] == [0, 0, 2, 3, 4]
        proxy.call(proxy.mapped.tick)
        assert not settings.plans


def test_a_client_of_a_unix_socket_among_others() -> None:
    """A client without an address is served where others have one."""
    with HTTPStage() as stage:
        kept = list[Peer]()
        _asked(stage, kept, "127.0.0.1", GET)
        ours, theirs = socket.socketpair()
        client = Peer(stage.enter(theirs))
        theirs.settimeout(loopback.PATIENCE)
        client.say(GET)
        with ours:
            accepted = BareSocket(ours.family, ours.type, ours.proto, ours.detach())
        accepted.setblocking(False)
        stage.proxy.call(handle, stage.proxy.mapped, accepted, "", HTTPSession)
        assert b"X-Forwarded-For" not in kept[0].hear()
        kept[0].say(OK)
        client.hear_message()


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients connect, few of their requests are kept."""
    monkeypatch.setattr(http_requests, "_MOST_PLANS", 1)
    with HTTPStage() as stage:
        kept = list[Peer]()
        for address in ("127.0.0.1", "127.0.0.2"):
            _asked(stage, kept, address, GET)
        settings = stage.proxy.mapped.http
        assert settings is not None
        assert set(settings.plans) == {"127.0.0.2"}


def test_a_client_without_a_request_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes less memory then, and its next request is served and told as before."""
    monkeypatch.setattr(http_time_limits, "_IDLE", 0.05)
    with capturedLogs() as logs, HTTPStage(idle_timeout=0.4) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        before = upstream.hear()
        upstream.say(OK)
        client.hear_message()
        session = stage.session()
        eventually(lambda: session._plan is None, "the last head is forgotten")
        client.say(GET)
        assert _ID.sub(b"-", upstream.hear()) == _ID.sub(b"-", before)
        upstream.say(OK)
        client.hear_message()
    lines = [each["line"].split() for each in logs if "request_id" in each]
    assert [each[:4] for each in lines] == [lines[0][:4]] * 2


def test_a_bug_in_counts_or_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug costs one turn's counts and lines, and no client its connection."""
    found = []

    def fail(self: HTTPStats, requests: object) -> None:
        monkeypatch.undo()
        found.append(requests)
        raise RuntimeError("a bug")

    with HTTPStage() as stage:
        scene = Scene(stage, GET, ordinary=True)
        monkeypatch.setattr(HTTPStats, "all_exchanged", fail)
        scene.upstream.say(OK)
        scene.client.hear_message()
        eventually(lambda: found, "the bug shows")
        scene.client.say(GET)
        scene.upstream.hear()
        scene.upstream.say(OK)
        assert scene.client.hear_message()[1] == b"ok"
        eventually(lambda: http(stage).classes[2] == 2, "it is counted")
        stage.proxy._observer.found.clear()


@pytest.mark.parametrize("response", ["whole", "a body in parts"])
def test_a_body_is_not_kept_beyond_its_request(response: str) -> None:
    """A client without a request holds no body of the one before."""
    with HTTPStage() as stage:
        scene = Scene(stage, PUT, ordinary=True)
        assert scene.session._body == b"ab"
        for part in RESPONSES[response]:
            scene.upstream.say(part)
        scene.client.hear_message()
        assert stage.proxy.call(lambda: scene.session._body) == b""
