"""When an end copies, and when it moves what comes through a pipe."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from attrs import define

from lbconsul.net.splice import Pipe, Pipes
from lbconsul.net.stream import Stream
from lbconsul.proxy.relay import Relay, RelaySettings
from lbconsul.proxy.relay_side import READ_SIZE, RelaySide
from lbconsul.stats.termination import Termination
from tests.support.loopback import receive, tcp_pair
from tests.support.recording_reactor import RecordingReactor


class CountedPipes(Pipes):
    """Pipes that note how often one was lent."""

    lent = 0

    def lend(self) -> Pipe | None:
        self.lent += 1
        return super().lend()


class User:
    """Joins two streams, and needs to know nothing of them."""

    def on_first_byte(self) -> None:
        """The upstream's first byte arrived."""

    def on_moved(self, received: int, sent: int) -> None:
        """Bytes moved."""

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        """The relay closed its streams."""


class NotingRelay(Relay):
    """A relay that only notes what its sides say, and closes nothing."""

    pipes: CountedPipes

    def __init__(
        self, reactor: RecordingReactor, client: Stream, upstream: Stream
    ) -> None:
        settings = RelaySettings(reactor, reactor, CountedPipes(), 60.0, 60.0)
        super().__init__(settings, User(), client, upstream, 0.0)
        self.said: list[str] = []

    def end(
        self,
        termination: Termination,
        *,
        reset: bool = False,
        by_upstream: bool = False,
    ) -> None:
        self.said.append("done")
        self.over = True

    def on_half_closed(self) -> None:
        self.said.append("half over")

    def on_lost(self, end: RelaySide) -> None:
        self.said.append("lost")
        self.over = True


@define(eq=False)
class Stage:
    """Two ends, and the peers of both."""

    relay: NotingRelay
    reactor: RecordingReactor
    speaker: socket.socket
    listener: socket.socket
    end: RelaySide
    other: RelaySide

    def say(self, size: int) -> None:
        """Let the speaker say so much at once, and the listener hear it."""
        self.speaker.sendall(bytes(size))
        while select_readable(self.end.stream) < size:
            pass
        self.end.doRead()
        assert len(receive(self.listener, size)) == size

    def say_in_bulk(self) -> None:
        """Fill one read."""
        self.say(READ_SIZE)


def select_readable(stream: Stream) -> int:
    """How many bytes can be read."""
    assert isinstance(stream, socket.socket)
    try:
        return len(stream.recv(1 << 20, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Two ends that are joined."""
    with ExitStack() as held:
        ours, speaker = tcp_pair()
        theirs, listener = tcp_pair()
        for sock in (ours, speaker, theirs, listener):
            held.enter_context(sock)
        reactor = RecordingReactor()
        relay = NotingRelay(reactor, ours, theirs)
        held.callback(relay.pipes.close)
        end, other = relay.client, relay.upstream
        reactor.addReader(end)
        reactor.addReader(other)
        yield Stage(relay, reactor, speaker, listener, end, other)


def test_small_messages_are_copied(stage: Stage) -> None:
    """A conversation in small pieces takes no pipe."""
    for _ in range(100):
        stage.say(1000)
    assert stage.relay.pipes.lent == 0
    assert stage.end.moved == 100_000


def test_bulk_goes_through_a_pipe(stage: Stage) -> None:
    """After a read that was full, what follows is not looked at any more."""
    stage.say_in_bulk()
    assert stage.relay.pipes.lent == 0
    with patch("lbconsul.proxy.relay_side._BUFFER", None):  # so that a copy fails
        for _ in range(5):
            stage.say(40_000)
    assert stage.relay.pipes.lent == 5
    assert stage.end.moved == READ_SIZE + 200_000


def test_other_direction_is_another_stream(stage: Stage) -> None:
    """Short questions are copied, however long the answers are."""
    stage.say_in_bulk()
    stage.listener.sendall(b"next")
    while not select_readable(stage.other.stream):
        pass
    stage.other.doRead()
    assert receive(stage.speaker, 4) == b"next"
    assert stage.relay.pipes.lent == 0


def test_calm_after_bulk(stage: Stage) -> None:
    """Some small pieces do not end bulk; many of them in a row do."""
    stage.say_in_bulk()
    for _ in range(10):
        stage.say(1000)
    stage.say(40_000)
    stage.relay.pipes.lent = 0
    for _ in range(30):
        stage.say(1000)
    assert stage.relay.pipes.lent == 16
    stage.say_in_bulk()
    stage.say(1000)
    assert stage.relay.pipes.lent == 17


def test_no_pipe_to_be_had(stage: Stage) -> None:
    """Bulk is copied where there is no pipe."""
    stage.relay.pipes = CountedPipes(0)
    stage.say_in_bulk()
    stage.say(READ_SIZE)
    assert stage.relay.pipes.lent == 1
    assert stage.end.moved == 2 * READ_SIZE


def test_nothing_there(stage: Stage) -> None:
    """To be called for nothing takes no pipe away."""
    stage.say_in_bulk()
    stage.end.doRead()
    assert stage.relay.said == []
    stage.say(1000)


def test_end_of_bulk(stage: Stage) -> None:
    """The end of a stream is one, whichever way its bytes came."""
    stage.say_in_bulk()
    stage.speaker.shutdown(socket.SHUT_WR)
    stage.reactor.settle()
    assert stage.relay.said == ["half over"]
    assert stage.listener.recv(1) == b""


def test_both_ends_at_once(stage: Stage) -> None:
    """Two ends that come together are not passed on: closing tells as much."""
    stage.speaker.shutdown(socket.SHUT_WR)
    stage.listener.shutdown(socket.SHUT_WR)
    with patch("socket.socket.shutdown", side_effect=AssertionError("shut down")):
        stage.end.doRead()
        stage.other.doRead()
    assert stage.relay.said == ["done"]
    stage.end.proceed()  # the poller was asked to call it
    assert stage.relay.said == ["done"]


def test_speaker_of_bulk_is_gone(stage: Stage) -> None:
    """An error is one, whichever way it shows."""
    stage.say_in_bulk()
    with patch("os.splice", side_effect=ConnectionResetError()):
        stage.end.doRead()
    assert stage.relay.said == ["lost"]
    assert stage.relay.pipes.lend() is not None


def test_listener_to_bulk_is_gone(stage: Stage) -> None:
    """A reader that is gone while the pipe is emptied ends the relay."""
    stage.say_in_bulk()
    stage.speaker.sendall(bytes(1000))
    while not select_readable(stage.end.stream):
        pass
    with patch.object(Pipe, "drain", side_effect=BrokenPipeError()):
        stage.end.doRead()
    assert stage.relay.said[0] == "lost"


def test_socket_that_cannot_be_spliced(stage: Stage) -> None:
    """A kind of socket that splice(2) does not know is copied from."""
    stage.say_in_bulk()
    with patch("os.splice", side_effect=OSError(errno.EINVAL, "no")):
        stage.say(1000)
        stage.say(1000)
    assert stage.relay.said == []
    assert stage.relay.pipes.lent == 1


def test_listener_is_gone_when_told_the_end(stage: Stage) -> None:
    """An error that shows when an end is passed on is the listener's."""
    stage.speaker.shutdown(socket.SHUT_WR)
    stage.other.stream.close()
    stage.end.doRead()
    stage.end.proceed()
    assert stage.relay.said == ["lost"]
