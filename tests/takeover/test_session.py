"""The old gateway's part of a conversation, word by word."""

import os
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent

from lbconsul.takeover.protocol import (
    ACCEPTING,
    RETIRING,
    read_offer,
    read_word,
    write_request,
    write_word,
)
from lbconsul.takeover.session import (
    ACCEPT_WITHIN,
    ASK_WITHIN,
    LEAVE_WITHIN,
    State,
    TakeoverSession,
)
from tests.support.descriptors import descriptors
from tests.support.loopback import listening

QUESTION = write_request("lbconsul 0.1.0")


class Transport(StringTransport):
    """What the other one would see."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[int] = []
        self.aborting = False

    def abortConnection(self) -> None:
        self.aborting = True

    def sendFileDescriptor(self, descriptor: int) -> None:  # noqa: N802
        assert not self.value()
        self.passed.append(descriptor)

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"


class Played:
    """A conversation of which the test plays the other part."""

    def __init__(self, offer: dict[str, socket.socket] | None = None) -> None:
        self.clock = Clock()
        self.outcome: list[bool] = []
        self.session = TakeoverSession(
            self.clock,
            4711,
            lambda: offer or {},
            lambda session, given: self.outcome.append(given),
        )
        self.transport = Transport()
        self.session.makeConnection(self.transport)

    def say(self, *lines: bytes) -> bytes:
        """What is answered."""
        self.transport.clear()
        for each in lines:
            self.session.dataReceived(each)
        return bytes(self.transport.value())


@pytest.fixture
def played() -> Iterator[Played]:
    """One of a gateway with one mapping."""
    with listening() as sock:
        yield Played({"127.0.0.1:80": sock})


def test_whole(played: Played) -> None:
    """A client asks, gets the sockets, accepts, and leaves: it has taken over."""
    assert played.transport.producerState == "paused"
    assert played.session.state is State.WAITS
    played.session.begin()
    assert played.transport.producerState == "producing"
    with capturedLogs() as events:
        assert read_offer(played.say(QUESTION)) == ["127.0.0.1:80"]
        assert len(played.transport.passed) == 1
        assert read_word(played.say(write_word(ACCEPTING))) == RETIRING
        assert played.outcome == []
        played.session.connectionLost()
    assert played.outcome == [True]
    assert played.clock.getDelayedCalls() == []
    assert [formatEvent(each) for each in events] == [
        "process 4711 takes over: 1 sockets handed to it"
    ]


def test_in_pieces(played: Played) -> None:
    """The lines may come in any pieces."""
    played.session.begin()
    words = (QUESTION, write_word(ACCEPTING))
    said = b"".join(words)
    played.say(*(said[number : number + 1] for number in range(len(said))))
    assert played.session.state is State.GIVEN


def test_copies(played: Played) -> None:
    """
    Copies of the descriptors are passed, which stay open until nothing can be sent any
    more.
    """
    before = descriptors()
    played.session.begin()
    played.say(QUESTION, b"nonsense\n")
    assert played.transport.aborting
    assert len(descriptors() - before) == 1
    played.session.connectionLost()
    assert descriptors() - before == set()


def test_late_at_the_end(played: Played) -> None:
    """
    A client that knows that this gateway shuts down, and does not leave, has taken over
    as well.
    """
    played.session.begin()
    played.say(QUESTION, write_word(ACCEPTING))
    played.clock.advance(LEAVE_WITHIN - 0.1)
    assert played.outcome == []
    played.clock.advance(0.2)
    played.session.connectionLost()
    assert played.outcome == [True]


def test_silent(played: Played) -> None:
    """A client that sends nothing is closed soon, since others may wait."""
    played.session.begin()
    with capturedLogs() as events:
        played.clock.advance(ASK_WITHIN)
    assert played.outcome == [False]
    assert played.transport.aborting
    assert [formatEvent(each) for each in events] == [
        "process 4711 timed out: its takeover ends"
    ]


def test_hangs(played: Played) -> None:
    """
    A client that never accepts is given up after a minute, and this gateway goes on.
    """
    played.session.begin()
    played.say(QUESTION)
    played.clock.advance(ACCEPT_WITHIN - 0.1)
    assert played.outcome == []
    with capturedLogs() as events:
        played.clock.advance(0.2)
    assert played.outcome == [False]
    assert played.transport.aborting
    assert [formatEvent(each) for each in events] == [
        "process 4711 timed out: its takeover ends",
        "process 4711 does not take over after all: this gateway goes on",
    ]
    assert played.clock.getDelayedCalls() == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_dies(played: Played, count: int) -> None:
    """A client that is gone before it accepts has taken nothing over."""
    words = (QUESTION, write_word(ACCEPTING))
    played.session.begin()
    played.say(*words[:count])
    played.session.connectionLost()
    assert played.outcome == [count == 2]
    assert played.clock.getDelayedCalls() == []


def test_leaves_the_queue(played: Played) -> None:
    """A client that leaves before its turn has no effect."""
    played.session.connectionLost()
    assert played.outcome == [False]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"takeover": [2]}\n', "protocol version 2 instead of 1"),
        (b"GET / HTTP/1.1\r\n", "not JSON"),
        (b"x" * 5000, "its line is too long"),
        (b"x" * 5000 + b"\n", "its line is too long"),
    ],
)
def test_no_query(played: Played, line: bytes, told: str) -> None:
    """An invalid line is reported to both sides, and ends only the session."""
    played.session.begin()
    with capturedLogs() as events:
        assert played.say(line) == b'{"refused": "%s"}\n' % told.encode()
    assert [formatEvent(each) for each in events] == [
        f"process 4711 cannot take over: {told}"
    ]
    assert played.outcome == [False]
    assert played.transport.disconnecting
    assert played.say(line) == b""
    played.session.connectionLost()
    assert played.outcome == [False]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (write_word(RETIRING), "'retiring' is out of turn"),
        (QUESTION, "unknown word '[1]'"),
        (b"x" * 5000, "its line is too long"),
    ],
)
def test_out_of_turn(played: Played, line: bytes, told: str) -> None:
    """
    An invalid line after the offer ends the session; nothing waits for it to be read.
    """
    played.session.begin()
    played.say(QUESTION)
    with capturedLogs() as events:
        assert played.say(line) == b""
    assert [formatEvent(each) for each in events] == [
        f"process 4711 cannot take over: {told}",
        "process 4711 does not take over after all: this gateway goes on",
    ]
    assert played.outcome == [False]
    assert played.transport.aborting


def test_cannot_be_copied(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is no descriptor left for the copies that is said too."""

    def dup(number: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "dup", dup)
    played.session.begin()
    assert played.say(QUESTION) == (
        b'{"refused": "the sockets cannot be copied: Too many open files"}\n'
    )
    assert played.outcome == [False]


def test_too_many_sockets() -> None:
    """More sockets than an offer has room for are not handed over."""
    with listening() as sock:
        played = Played({str(number): sock for number in range(10_001)})
        played.session.begin()
        assert b"more than can be handed over" in played.say(QUESTION)


def test_end_at_any_moment(played: Played) -> None:
    """We may end it at any moment."""
    played.session.begin()
    played.session.abort()
    assert played.transport.aborting
    played.session.connectionLost()
    assert played.outcome == [False]
