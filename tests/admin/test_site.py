"""Connections and requests, within bounds."""

import pytest
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request

from lbconsul.admin.site import (
    IDLE,
    MOST_BODY,
    MOST_CONNECTIONS,
    AdminFactory,
    cut,
)
from tests.support.admin_client import Site, answer


def _post(length: str, body: bytes) -> tuple[int, bool]:
    """The code of the answer to a POST with that body, and whether it is the end."""
    site = Site()
    connection = site.connect()
    head = f"POST /drain HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
    connection.protocol.dataReceived(head.encode())
    for start in range(0, len(body), 1000):
        if not connection.disconnecting:  # nothing is read any more then
            connection.protocol.dataReceived(body[start : start + 1000])
    return answer(connection.value()).code, connection.disconnecting


def test_small_bodies() -> None:
    """A body is of no interest, and does no harm."""
    assert _post("Content-Length: 2", b"{}") == (401, False)
    assert _post("Content-Length: 0", b"") == (401, False)
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3"
    assert _post(form, b"a=b") == (401, False)
    assert _post("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n") == (401, False)


@pytest.mark.parametrize("sent", [0, 1, 100_000])
def test_large_bodies(sent: int) -> None:
    """A body of absurd length is refused as soon as that is known."""
    assert _post("Content-Length: 999999999999", b"a" * sent) == (413, True)
    assert _post(f"Content-Length: {MOST_BODY + 1}", b"a" * sent) == (413, True)


def test_endless_bodies() -> None:
    """So is one whose length is not told, once it is too long."""
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
    """What is no request gets no answer but that."""
    connection = Site().connect()
    connection.protocol.dataReceived(data)
    assert answer(connection.value()).code == 400
    assert connection.disconnecting


def test_keeping_alive() -> None:
    """A connection may be used again and again."""
    site = Site()
    connection = site.connect()
    for _ in range(3):
        site.say(connection, "GET", "/healthz", [("Connection", "keep-alive")])
        assert answer(connection.value()).text == "alive\n"
        connection.clear()
    assert not connection.disconnecting


def test_silence() -> None:
    """A connection on which nothing is asked for long is cut, without a word."""
    site = Site()
    fresh, used = site.connect(), site.connect()
    site.say(used, "GET", "/healthz", [("Connection", "keep-alive")])
    site.clock.advance(IDLE - 1)
    assert [fresh.connected, used.connected] == [True, True]
    site.clock.advance(1)
    assert [fresh.connected, used.connected] == [False, False]
    assert site.clock.getDelayedCalls() == []


def test_too_many() -> None:
    """Only so many connections are had at a time; one that ends makes room."""
    site = Site()
    connections = [site.connect() for _ in range(MOST_CONNECTIONS)]
    assert site.factory.buildProtocol(None) is None
    connections[7].lose()
    assert site.ask("GET", "/healthz").code == 200


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
        """
        It is over when the last of them is.
        """
        site = Site()
        connection = site.connect()
        channel = connection.protocol
        connection.abortConnection = lambda: None  # type: ignore[method-assign]
        ended = site.factory.cut_all()
        self.assertNoResult(ended)
        connection.lose()
        self.successResultOf(ended)
        self.assertNotIn(channel, site.factory.channels)

    def test_cutting_what_is_over(self) -> None:
        """
        To cut a request whose connection is lost does nothing.
        """
        requests: list[Request] = []
        site = Site()
        site.factory = AdminFactory(site.clock, requests.append)
        connection = site.connect()
        site.say(connection, "GET", "/")
        connection.lose()
        cut(requests[0])
