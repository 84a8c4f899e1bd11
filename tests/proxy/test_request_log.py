"""The access log of HTTP mode, and the counts of requests: one of each per request."""

import re
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from twisted.logger import LogEvent, capturedLogs

from lbconsul.stats.http import CLASSES, HTTPStats
from tests.support.http_stage import DATE, GET, OK, HTTPStage, Peer, exchange
from tests.support.waiting import eventually

#: What every line of a request looks like, whatever is in it.
SHAPE = re.compile(
    r'\S+ \S+[:=]web (-|\S+@\S+ \S+) "[ !#-~]*" \d+ \d+ "[ !#-~]+" "[ !#-~]+" host=\S+'
    r" in=\d+ TR=-?\d+ Tw=-?\d+ Tc=-?\d+ Tr=-?\d+ Ta=\d+ retries=\d+ reused=[01]"
    r' (--|[A-Za-z][A-Z-]) id=\S+( \S+=([^\s"]+|".*"))*'
)

PUT = b"PUT /up HTTP/1.1\r\nHost: web.example\r\nContent-Length: 6\r\n\r\nabc"


@pytest.fixture
def logs() -> Iterator[Sequence[LogEvent]]:
    """All that is logged."""
    with capturedLogs() as events:
        yield events


def requests_in(logs: Sequence[LogEvent]) -> list[LogEvent]:
    """The events of requests."""
    found = [each for each in tuple(logs) if "request_id" in each]
    for each in found:
        assert SHAPE.fullmatch(each["line"]), each["line"]
    return found


def the_request(logs: Sequence[LogEvent], number: int = 1) -> LogEvent:
    """The last event of so many requests, once it is there."""
    eventually(lambda: len(requests_in(logs)) == number, f"{number} requests")
    return requests_in(logs)[-1]


def http(stage: HTTPStage) -> HTTPStats:
    """The counts of a stage's mapping."""
    stats = stage.proxy.mapped.stats.http
    assert stats is not None
    return stats


def counts(stage: HTTPStage) -> dict[str, int]:
    """Requests by class, without zeros."""
    return {
        name: count
        for name, count in zip(CLASSES, http(stage).classes, strict=True)
        if count
    }


def test_a_line_of_a_request(logs: Sequence[LogEvent]) -> None:
    """A line tells who asked for what, who answered, and how long each step took."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(
            b'GET /a"b?c=d HTTP/1.1\r\nHost: web.example\r\nreferer: http://x/\r\n'
            b"User-Agent: a\\b\xe9\r\n\r\n"
        )
        upstream = stage.upstream()
        sent_id = re.search(rb"X-Request-ID: (\S+)", upstream.hear())
        upstream.say(OK)
        client.hear_message()
        event = the_request(logs)
        exchange(client, upstream)
        again = the_request(logs, 2)
    assert sent_id is not None
    assert event["request_id"] == sent_id[1].decode()
    assert event["client"].startswith("127.0.0.1:")
    assert (event["method"], event["target"], event["version"]) == (
        "GET", "/a\\x22b?c=d", "HTTP/1.1",
    )  # fmt: skip
    assert (event["host"], event["referer"], event["user_agent"]) == (
        "web.example", "http://x/", "a\\x5Cb\\xE9",
    )  # fmt: skip
    assert (event["status"], event["received"], event["sent"]) == (200, 0, 2)
    assert (event["termination"], event["retries"]) == ("--", 0)
    assert event["upstream"].startswith("web0@")
    assert not event["reused"] and again["reused"]
    for each in (event, again):
        assert min(each[timer] for timer in ("TR", "Tw", "Tc", "Tr", "Ta")) >= 0
    assert '"GET /a\\x22b?c=d HTTP/1.1" 200 2 "http://x/"' in event["line"]
    assert again["line"].count("TR=0 Tw=0 Tc=0") == 1


def _bad(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    client.hears_end()


def _no_http(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    client.hears_end()


def _too_large(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET[:-2] + b"Cookie: secret" + b"x" * 40000)
    client.hears_end()


def _slow_head(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(b"GET /slow HTTP/1.1\r\nHost: web")
    client.hears_end()


def _left_in_head(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(b"GET /left HTTP/1.1\r\n")
    stage.proxy.wait_until_open(1)
    client.end()
    client.hears_end()


def _refused(stage: HTTPStage) -> None:
    stage.refuse()
    client = stage.client()
    client.say(GET)
    client.hear_message()


def _slow_response(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    client.hear_message()


def _left_by_upstream(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.close()
    client.hear_message()


def _bad_response(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"nonsense\r\n\r\n")
    client.hear_message()


def _cut_response(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    client.hear()
    upstream.close()
    with pytest.raises(ConnectionResetError):
        client.hears_end()


def _bad_chunk(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.hear()
    upstream.say(b"nonsense\r\n")
    with pytest.raises(ConnectionResetError):
        client.hears_end()


def _reset(peer: Peer) -> None:
    linger = struct.pack("ii", 1, 0)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()


def _left_while_waiting(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    stage.upstream().hear()
    _reset(client)


def _left_in_upload(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(PUT)
    stage.upstream().hear()
    client.end()
    client.hears_end()


def _left_in_response(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    client.hear()
    _reset(client)


def _ok(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(OK)
    client.hear_message()


def _error(stage: HTTPStage) -> None:
    client = stage.client()
    client.say(GET)
    upstream = stage.upstream()
    upstream.hear()
    upstream.say(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    client.hear_message()


def test_a_path_that_is_refused(logs: Sequence[LogEvent]) -> None:
    """A request whose path is refused has an id, in the log and in its answer."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(
            b"GET /%5C HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n"
            b"Accept: application/json\r\n\r\n"
        )
        head, body = client.hear_message()
        event = the_request(logs)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert event["TR"] >= 0
    assert event["user_agent"] == "b"
    request_id = event["request_id"].encode()
    assert b"\r\nX-Request-ID: %b\r\n" % request_id in head
    assert b'"request_id":"%b"' % request_id in body


def test_a_refused_path_behind_a_proxy(logs: Sequence[LogEvent]) -> None:
    """Its id is that of a trusted proxy, if that has given it one."""
    with HTTPStage(trusted_proxies=("127.0.0.0/8",)) as stage:
        client = stage.client()
        client.say(b"HEAD /%5C HTTP/1.1\r\nHost: a\r\nX-Request-ID: theirs\r\n\r\n")
        assert client.hears_end().endswith(b"\r\n\r\n")
        assert the_request(logs)["request_id"] == "theirs"


#: What a client does, the options of the mapping, and what is logged of it; `unhappy`
#: is the reason that stands among the last unhappy requests.
CASES: list[tuple[Callable[[HTTPStage], None], dict[str, Any], dict[str, Any]]] = [
    (_ok, {}, {"status": 200, "termination": "--", "target": "/"}),
    (_error, {}, {"status": 500, "termination": "--", "unhappy": "--"}),
    (
        _bad,
        {},
        {
            "status": 400, "termination": "PR", "target": "/x", "host": "a",
            "reason": "bad-request", "error": "it has more than one Host", "TR": -1,
        },
    ),
    (
        _no_http,
        {},
        {
            "status": 400, "termination": "PR", "reason": "bad-request",
            "request": "\\x16\\x03\\x01\\x02\\x00\\x01\\x00",
        },
    ),
    (
        _too_large,
        {},
        {"status": 431, "termination": "PR", "reason": "head-too-large"},
    ),
    (
        _slow_head,
        {"head_timeout": 0.05},
        {
            "status": 408, "termination": "cR", "reason": "head-timeout",
            "target": "/slow", "error": "longer than head-timeout=0.05s",
        },
    ),
    (_left_in_head, {}, {"status": 0, "termination": "CR", "target": "/left"}),
    (
        _refused,
        {},
        {
            "status": 503, "termination": "SC", "reason": "no-upstream", "retries": 1,
            "unhappy": "no-upstream", "Tc": -1,
        },
    ),
    (
        _slow_response,
        {"response_timeout": 0.05},
        {
            "status": 504, "termination": "sH", "reason": "response-timeout", "Tr": -1,
            "error": "longer than response-timeout=0.05s",
            "unhappy": "response-timeout",
        },
    ),
    (
        _left_by_upstream,
        {},
        {
            "status": 502, "termination": "SH", "reason": "upstream-closed",
            "unhappy": "upstream-closed",
        },
    ),
    (
        _bad_response,
        {},
        {
            "status": 502, "termination": "PH", "reason": "bad-response",
            "unhappy": "bad-response",
        },
    ),
    (_cut_response, {}, {"status": 200, "termination": "SD", "unhappy": "SD"}),
    (_bad_chunk, {}, {"status": 200, "termination": "PD", "unhappy": "PD"}),
    (_left_while_waiting, {}, {"status": 0, "termination": "CH"}),
    (_left_in_upload, {}, {"status": 0, "termination": "CH", "received": 3}),
    (_left_in_response, {}, {"status": 200, "termination": "CD"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__[1:])
def test_every_request_is_told_once(
    logs: Sequence[LogEvent],
    case: tuple[Callable[[HTTPStage], None], dict[str, Any], dict[str, Any]],
) -> None:
    """Each request has one line and one count, whatever becomes of it."""
    act, options, expected = case
    expected = dict(expected)
    unhappy = expected.pop("unhappy", None)
    with HTTPStage(**options) as stage:
        act(stage)
        event = the_request(logs)
        stats = http(stage)
        status = expected["status"]
        of_class = f"{status // 100}xx" if status else "other"
        assert counts(stage) == {of_class: 1}
        reason = expected.get("reason")
        assert stats.refused == ({reason: 1} if reason else {})
        assert [each.reason for each in stats.unhappy.last] == [unhappy] * bool(unhappy)
        assert sum(stats.request.counts) == 1
        assert stats.received > 0
    assert {name: event.get(name) for name in expected} == expected
    assert len(requests_in(logs)) == 1


def test_counts_are_exact(logs: Sequence[LogEvent]) -> None:
    """Of many requests on few connections each is in the class of its status."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        answer = b"HTTP/1.1 %d X\r\nContent-Length: 3\r\n\r\nabc"
        for status in (200, 204, 302, 404, 404, 500, 503, 504, 299, 418):
            bodiless = status == 204
            head = b"HTTP/1.1 204 X\r\n\r\n" if bodiless else answer % status
            client.say(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % status)
            upstream.hear()
            upstream.say(head)
            client.hear_message()
        client.say(b"broken\r\n\r\n")
        client.hears_end()
        the_request(logs, 12)
        stats = http(stage)
        assert counts(stage) == {"2xx": 4, "3xx": 1, "4xx": 4, "5xx": 3}
        assert (stats.reused, stats.retries, stats.answered) == (10, 0, 11)
        assert stats.refused == {"bad-request": 1}
        assert [each.path for each in stats.unhappy.last] == ["/500", "/503", "/504"]
        [account] = stats.accounts.values()
        assert dict(zip(CLASSES, account.classes, strict=True)) == {
            "other": 0, "1xx": 0, "2xx": 4, "3xx": 1, "4xx": 3, "5xx": 3,
        }  # fmt: skip
        assert (account.received, account.answered) == (stats.received - 10, 11)
        assert sum(stats.first_byte.counts) == 11
        assert sum(stats.request.counts) == 12
        traffic = stage.proxy.mapped.stats
        # Bytes count once: the status adds those of requests and of connections.
        assert (traffic.received, traffic.sent) == (0, 0)


def test_upgrades_have_a_line_at_their_start_and_their_end(
    logs: Sequence[LogEvent],
) -> None:
    """A WebSocket is in the log once it is open, and with its bytes once it is over."""
    with HTTPStage() as stage:
        client = stage.client()
        client.say(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        client.hear()
        begun = the_request(logs)
        assert counts(stage) == {}
        client.say(b"12345")
        upstream.hear_bytes(5)
        upstream.say(b"123")
        client.hear_bytes(3)
        upstream.close()
        client.end()
        client.hears_end()
        ended = the_request(logs, 2)
        assert counts(stage) == {"1xx": 1}
    assert (begun["upgrade"], ended["upgrade"]) == ("begun", "ended")
    assert begun["status"] == ended["status"] == 101
    assert begun["request_id"] == ended["request_id"]
    assert (begun["received"], ended["received"], ended["sent"]) == (0, 5, 3)
    assert begun["line"].endswith(" upgrade=begun")


def test_the_client_behind_a_trusted_proxy(logs: Sequence[LogEvent]) -> None:
    """The line has the client that a trusted proxy names, and the proxy behind."""
    forwarded = GET[:-2] + b"X-Forwarded-For: 192.0.2.7\r\n\r\n"
    with HTTPStage(trusted_proxies=("127.0.0.0/8",)) as stage:
        client = stage.client()
        client.say(forwarded)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        event = the_request(logs)
        exchange(client, upstream)
        own = the_request(logs, 2)
    assert event["client"] == "192.0.2.7"
    assert event["via"].startswith("127.0.0.1:")
    assert own["client"] == event["via"]
    assert "via" not in own


def test_connections_without_a_request(logs: Sequence[LogEvent]) -> None:
    """A client that sends nothing has a line if it was closed, none if it left."""
    with HTTPStage(head_timeout=0.05) as stage:
        left = stage.client()
        left.end()
        assert left.hears_end() == b""
        assert stage.client().hears_end() == b""
        stage.proxy.wait_until_open(0)
        assert counts(stage) == {}
    [line] = [each["line"] for each in tuple(logs) if "termination" in each]
    assert line.endswith(" retries=0 cR")


def test_switched_off(logs: Sequence[LogEvent]) -> None:
    """Without the log requests are counted all the same."""
    with HTTPStage() as stage:
        settings = stage.proxy.mapped.http
        assert settings is not None
        settings.log.is_on = False
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        eventually(lambda: counts(stage) == {"2xx": 1}, "a count")
    assert requests_in(logs) == []


def test_bytes_count_while_they_move(logs: Sequence[LogEvent]) -> None:
    """The bytes of a long response count before it is over, and only once."""
    with HTTPStage(idle_timeout=4.0) as stage:
        client = stage.client()
        client.say(GET)
        upstream = stage.upstream()
        upstream.hear()
        head = b"HTTP/1.1 200 OK\r\n%bContent-Length: 10\r\n\r\n" % DATE
        upstream.say(head + b"half")
        client.hear()
        eventually(lambda: http(stage).sent == 4, "the bytes so far")
        upstream.say(b"-other")
        assert client.hear_bytes(10) == b"half-other"
        the_request(logs)
        assert http(stage).sent == len(head) + 10
        [account] = http(stage).accounts.values()
        assert (account.received, account.sent) == (len(GET), len(head) + 10)


FIELDS: dict[str, Any] = {
    "log_fields": ("request:x-tenant", "request:range", "response:x-cache")
}


def test_fields_that_the_operator_wants(logs: Sequence[LogEvent]) -> None:
    """A line has further fields of the request and of the response, escaped."""
    with HTTPStage(**FIELDS) as stage:
        client = stage.client()
        asked = GET[:-2] + b'X-Tenant: a "b"\r\n\r\n'
        client.say(asked)
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK.replace(b"\r\n\r\n", b"\r\nx-cache: hit\r\n\r\n"))
        client.hear_message()
        event = the_request(logs)
        exchange(client, upstream)
        again = the_request(logs, 2)
    assert event["request:x-tenant"] == "a \\x22b\\x22"
    assert event["response:x-cache"] == "hit"
    assert "request:range" not in event
    line = event["line"]
    assert line.endswith(' request:x-tenant="a \\\\x22b\\\\x22" response:x-cache=hit')
    assert not {"request:x-tenant", "response:x-cache"} & again.keys()


def test_fields_of_other_lines(logs: Sequence[LogEvent]) -> None:
    """So have lines of bad requests, of own answers and of upgrades."""
    with HTTPStage(routes={"a.example": {"log_fields": ()}}, **FIELDS) as stage:
        client = stage.client()
        client.say(b"GET / HTTP/1.1\r\nX-Tenant: a\r\n\r\n")
        client.hears_end()
        assert the_request(logs)["request:x-tenant"] == "a"
        client = stage.client()
        client.say(GET.replace(b"web.", b"a.")[:-2] + b"X-Tenant: a\r\n\r\n")
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(OK)
        client.hear_message()
        assert "request:x-tenant" not in the_request(logs, 2)
        client = stage.client()
        client.say(
            GET[:-2] + b"X-Tenant: b\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        )
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n"
            b"X-Cache: no\r\n\r\n"
        )
        client.hear()
        begun = the_request(logs, 3)
        assert begun["upgrade"] == "begun"
        assert begun["request:x-tenant"] == "b"
        assert begun["response:x-cache"] == "no"
