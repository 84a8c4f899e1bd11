"""The heads of Consul's answers: kept back until they are whole, and bounded."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lbconsul.consul.heads import HEAD_LIMIT, MOST_LINES, BoundedHeads, Heads
from lbconsul.errors import UnusableAnswer

HEAD = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def heads() -> Heads:
    """What waits for the answer to a question."""
    waiting = Heads()
    waiting.begin()
    return waiting


@given(st.lists(st.integers(0, 200)), st.integers(0, 3))
def test_a_head_and_a_body_in_any_pieces(cuts: list[int], interim: int) -> None:
    """
    The answer is passed on whole and in order, however it comes, and the interim
    answers before it are not.
    """
    sent = INTERIM * interim + HEAD + b"a body\n\nwith\r\n\r\nblank lines"
    places = sorted({0, len(sent), *(each for each in cuts if each < len(sent))})
    pieces = [sent[a:b] for a, b in pairwise(places)]
    waiting = heads()
    passed = [waiting.take(each) for each in pieces]
    assert b"".join(passed) == sent[len(INTERIM) * interim :]
    first = next(each for each in passed if each)
    assert first.startswith(HEAD)


def test_what_is_no_answer_passes() -> None:
    """Unexpected bytes are left to the HTTP client."""
    assert Heads().take(b"x") == b"x"


def test_the_next_answer_has_a_head_of_its_own() -> None:
    """
    Each question's answer is bounded for itself.
    """
    waiting = heads()
    padding = b"X: %b\r\n" % (b"x" * (HEAD_LIMIT // 2))
    for _ in range(5):
        waiting.begin()
        head = HEAD[:-2] + padding + b"\r\n"
        assert waiting.take(head) == head
        assert waiting.take(bytes(HEAD_LIMIT)) == bytes(HEAD_LIMIT)


def head_of(size: int, lines: int) -> bytes:
    """A head of so many bytes and lines."""
    begin = b"HTTP/1.1 200 OK\n" + b"a:\n" * (lines - 3)
    return begin + b"b:".ljust(size - len(begin) - 2, b"x") + b"\n\n"


@pytest.mark.parametrize("step", [1, 1000, 10**6])
def test_the_bounds_are_exact(step: int) -> None:
    """
    A head of the longest size is accepted, and one that is a byte or a line longer is
    refused, in whatever pieces it comes.
    """
    for size, lines, fits in (
        (HEAD_LIMIT, 9, True),
        (HEAD_LIMIT + 1, 9, False),
        (9000, MOST_LINES, True),
        (9000, MOST_LINES + 1, False),
    ):
        head, waiting, passed = head_of(size, lines), heads(), b""
        try:
            for place in range(0, size, step):
                passed += waiting.take(head[place : place + step])
        except UnusableAnswer:
            assert not fits
            assert passed == b""
        else:
            assert fits
            assert passed == head


@pytest.mark.parametrize(
    "status",
    [b"SSH-2.0-Go", b"HTTP/2 200", b"HTTP/1.1 1_00 OK", b"HTTP/1.1 20", b"", b" "],
)
def test_what_is_no_status_line(status: bytes) -> None:
    """
    An answer in another protocol is none.
    """
    with pytest.raises(UnusableAnswer, match="not HTTP/1"):
        heads().take(status + b"\r\nX: y\r\n\r\n")


class Notes(Protocol):
    """An HTTP client that records its calls."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.why = connectionDone

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.why = reason


def test_a_connection_ends_with_a_head_that_is_none() -> None:
    """The client gets the reason once the connection is gone, and nothing before."""
    inner = Notes()
    bounded = BoundedHeads(Factory.forProtocol(lambda: inner)).buildProtocol(None)
    transport = StringTransport()
    bounded.makeConnection(transport)
    bounded.writeSequence([b"GET / ", b"HTTP/1.1\r\n\r\n"])
    assert transport.value() == b"GET / HTTP/1.1\r\n\r\n"
    bounded.dataReceived(HEAD)
    bounded.writeSequence([b"GET / HTTP/1.1\r\n\r\n"])
    bounded.dataReceived(b"no\n\n")
    assert transport.disconnected
    bounded.dataReceived(HEAD)
    bounded.connectionLost(Failure(ConnectionAborted()))
    assert inner.told == [HEAD]
    assert inner.why.check(UnusableAnswer)
