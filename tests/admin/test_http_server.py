"""Connections and requests, within bounds."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel, Request

from lbconsul.admin.http_server import (
    ASKING,
    IDLE,
    MOST_BODY,
    MOST_CONNECTIONS,
    MOST_OF_ONE,
    AdminFactory,
    AdminRequest,
    cut,
)
from lbconsul.admin.turns import PROMPT_SLICE
from tests.support.admin_client import Connection, Site, answer


def _post(length: str, body: bytes) -> tuple[int, bool]:
    """The code of the answer to a POST with that body, and whether it is the end."""
    site = Site()
    connection = site.connect()
    head = f"POST /drain HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
    connection.protocol.dataReceived(head.encode())
    for start in range(0, len(body), 1000):
        if not connection.disconnecting:  # nothing is read any more then
            connection.protocol.dataReceived(body[start : start + 1000])
    site.clock.advance(0)
    return answer(connection.value()).code, connection.disconnecting


def test_small_bodies() -> None:
    """A body is of no interest, and does no harm."""
    assert _post("Content-Length: 2", b"{}") == (401, False)
    assert _post("Content-Length: 0", b"") == (401, False)
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3"
    assert _post(form, b"a=b") == (401, False)
    parts = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 7"
    assert _post(parts, b"--x\r\n\r\n") == (401, False)
    assert _post("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n") == (401, False)


@pytest.mark.parametrize("sent", [0, 1, 100_000])
def test_large_bodies(sent: int) -> None:
    """A body of absurd length is refused as soon as that is known."""
    assert _post("Content-Length: 999999999999", b"a" * sent) == (413, True)
    assert _post(f"Content-Length: {MOST_BODY + 1}", b"a" * sent) == (413, True)


def test_endless_bodies() -> None:
    """A chunked body is refused as well, once it is too long."""
    chunk = b"1000\r\n" + b"a" * 0x1000 + b"\r\n"
    assert _post("Transfer-Encoding: chunked", chunk * 20) == (413, True)


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
     b"\x16\x03\x01\r\n\r\n",
     b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http(data: bytes) -> None:
    """Bytes that are no HTTP get a 400 and nothing else."""
    connection = Site().connect()
    connection.protocol.dataReceived(data)
    assert answer(connection.value()).code == 400
    assert connection.disconnecting


@pytest.mark.parametrize("digits", [17, 5_000, 16_000])
def test_absurd_lengths(digits: int) -> None:
    """A content length with thousands of digits is no number of bytes."""
    assert _post(f"Content-Length: {'9' * digits}", b"") == (413, True)
    assert _post(f"content-length:{'0' * digits}1", b"") == (413, True)
    chunk = b"f" * min(digits, 1000) + b"\r\n" + b"a" * (MOST_BODY + 1)
    assert _post("Transfer-Encoding: chunked", chunk) == (413, True)


KEEP = [("Connection", "keep-alive")]
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def _half(site: Site, data: bytes = b"GET /healthz HTTP/1.1\r\n") -> Connection:
    """A connection on which a part of a request has come."""
    connection = site.connect()
    connection.protocol.dataReceived(data)
    return connection


def test_keeping_alive() -> None:
    """A connection may be used again and again."""
    site = Site()
    connection = site.connect()
    for _ in range(3):
        site.say(connection, "GET", "/healthz", KEEP)
        site.clock.advance(0)
        assert answer(connection.value()).text == "alive\n"
        connection.clear()
    assert not connection.disconnecting


def test_silence() -> None:
    """A connection on which nothing is asked for long is cut, without a word."""
    site = Site()
    fresh, used = site.connect(), site.connect()
    site.say(used, "GET", "/healthz", KEEP)
    site.clock.advance(0)
    site.clock.advance(ASKING - 1)
    assert [fresh.connected, used.connected] == [True, True]
    site.clock.advance(1)
    assert [fresh.connected, used.connected] == [False, True]
    site.clock.advance(IDLE - ASKING)
    assert not used.connected
    assert site.clock.getDelayedCalls() == []


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 99\r\n\r\n"])
def test_trickling(used: bool, length: bytes) -> None:
    """However often a byte of it comes, a request has to be whole in time."""
    site = Site()
    connection = site.connect()
    if used:
        site.say(connection, "GET", "/healthz", KEEP)
        site.clock.advance(IDLE - 1)
    data = b"POST /drain HTTP/1.1\r\n" + length
    for number in range(int(ASKING)):
        assert connection.connected
        connection.protocol.dataReceived(data if number == 0 else b"a")
        site.clock.advance(1)
    assert not connection.connected
    assert site.clock.getDelayedCalls() == []


def test_too_many() -> None:
    """
    However many connections are held open, even by half a request, a new request is
    answered: the connection that is silent for longest is closed.
    """
    site = Site()
    connections = [_half(site) for _ in range(MOST_CONNECTIONS)]
    for _ in range(3):
        assert site.ask("GET", "/healthz").text == "alive\n"
    assert [each.connected for each in connections[:4]] == [False] * 3 + [True]
    idle = site.connect()
    site.say(idle, "GET", "/healthz", KEEP)
    site.clock.advance(0)
    for _ in range(MOST_CONNECTIONS - 1):
        _half(site)
    kept = idle.connected
    _half(site)
    assert (kept, idle.connected) == (True, False)
    assert len(site.factory.connections) == MOST_CONNECTIONS


def test_all_are_answered() -> None:
    """No connection is cut off in the middle of an answer."""
    site = Site()
    site.factory = AdminFactory(site.clock, lambda request: None)
    for _ in range(MOST_CONNECTIONS):
        site.say(site.connect(), "GET", "/")
    assert site.factory.buildProtocol(None) is None
    site.factory.make_room()
    assert len(site.factory.connections) == MOST_CONNECTIONS


def test_one_address() -> None:
    """One address elsewhere has a part of them only; programs here have all."""
    site = Site()
    there, here = IPv4Address("TCP", "10.0.0.9", 1), IPv4Address("TCP", "127.0.0.1", 1)
    connections = [_half_from(site, there) for _ in range(MOST_OF_ONE + 1)]
    assert [each.connected for each in connections[:2]] == [False, True]
    own = [_half_from(site, here) for _ in range(MOST_OF_ONE + 1)]
    assert all(each.connected for each in own)
    assert connections[1].connected


def _half_from(site: Site, address: IPv4Address) -> Connection:
    channel: Any = site.factory.buildProtocol(address)
    connection = Connection()
    connection.protocol = channel
    channel.makeConnection(connection)
    return connection


def test_pipelining() -> None:
    """Pipelined requests are answered in turn, as fast as the answers are read."""
    site = Site()
    connection = site.connect()
    connection.protocol.dataReceived(PROBE * 1000)
    assert connection.value() == b""
    site.clock.advance(0)
    assert connection.value().count(b"alive") == 1000
    connection.clear()
    connection.enough()
    connection.protocol.dataReceived(PROBE * 3)
    site.clock.advance(1)
    assert connection.value() == b""
    connection.more()
    site.clock.advance(0)
    assert connection.value().count(b"alive") == 3
    assert connection.connected


def test_one_answer_a_turn() -> None:
    """Whatever is asked in one go holds the reactor no longer than a slice."""
    site = Site()
    answered = []

    def respond(request: AdminRequest) -> None:
        site.clock.rightNow += PROMPT_SLICE
        answered.append(request)
        request.finish()

    site.factory = AdminFactory(site.clock, respond)
    for _ in range(3):
        site.connect().protocol.dataReceived(PROBE * 10)
    calls = [each for each in site.clock.calls if each.getTime() <= site.clock.rightNow]
    [call] = calls
    call.func()
    assert len(answered) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_half_closing(version: str) -> None:
    """A client that says no more, as ``nc -N`` does, gets its answers and the end."""
    site = Site()
    connection = site.connect()
    connection.protocol.dataReceived(PROBE.replace(b"1.1", version.encode()) * 2)
    connection.protocol.readConnectionLost()
    site.clock.advance(0)
    assert connection.value().count(b"alive") == (2 if version == "1.1" else 1)
    assert connection.disconnecting
    for data in (b"", PROBE[:10]):
        half = _half(site, data)
        half.protocol.readConnectionLost()
        assert half.disconnecting
    half.protocol.writeConnectionLost()


def test_leaving_before_the_answer() -> None:
    """A client that has left by then gets no answer."""
    site = Site()
    connection = site.connect()
    connection.protocol.dataReceived(PROBE * 2)
    connection.lose()
    site.clock.advance(0)
    assert connection.value() == b""
    assert site.requests.counts == {}
    assert site.clock.getDelayedCalls() == []


class BugTests(SynchronousTestCase):
    def test_bugs(self) -> None:
        """
        A bug of ours costs one client its answer, and there is no more of it in the
        log than there is room for.
        """
        told: list[str] = []

        def respond(request: AdminRequest) -> None:
            raise RuntimeError("a bug")

        def allow(kind: str) -> bool:
            told.append(kind)
            return len(told) == 1

        site = Site()
        site.factory = AdminFactory(site.clock, respond, allow)
        for _ in range(3):
            connection = site.connect()
            connection.protocol.dataReceived(PROBE)
            site.clock.advance(0)
            self.assertFalse(connection.connected)
        self.assertEqual(told, ["a request could not be answered"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_unreadable(self) -> None:
        """A bug while a request is read ends only its connection."""
        site = Site()
        connection = site.connect()
        self.patch(HTTPChannel, "lineReceived", lambda *_: 1 // 0)
        connection.protocol.dataReceived(PROBE)
        self.assertEqual(answer(connection.value()).code, 400)
        self.assertTrue(connection.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class EndTests(SynchronousTestCase):
    def test_ending(self) -> None:
        """
        At the end all connections are cut, and there are no new ones.
        """
        site = Site()
        connections = [site.connect() for _ in range(3)]
        ended = site.factory.cut_all()
        self.successResultOf(ended)
        self.assertEqual([each.connected for each in connections], [False] * 3)
        self.assertIsNone(site.factory.buildProtocol(None))
        self.assertEqual(site.clock.getDelayedCalls(), [])

    def test_waiting_for_the_end(self) -> None:
        """The end is reached when the last connection is closed."""
        site = Site()
        connection = site.connect()
        channel = connection.protocol
        connection.abortConnection = lambda: None  # type: ignore[method-assign]
        ended = site.factory.cut_all()
        self.assertNoResult(ended)
        connection.lose()
        self.successResultOf(ended)
        self.assertNotIn(channel, site.factory.connections)

    def test_cutting_what_is_over(self) -> None:
        """
        To cut a request whose connection is lost does nothing.
        """
        requests: list[Request] = []
        site = Site()
        site.factory = AdminFactory(site.clock, requests.append)
        connection = site.connect()
        site.say(connection, "GET", "/")
        site.clock.advance(0)
        connection.lose()
        cut(requests[0])
