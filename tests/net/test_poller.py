"""The epoll of the connections' own, turned by hand."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lbconsul.net import poller
from lbconsul.net.poller import EpollPoller, ReactorPoller, open_poller
from tests.support.loopback import reset, tcp_pair
from tests.support.recording_reactor import RecordingReactor


class Watched:
    """A socket, its peer, and a note of what was called."""

    def __init__(self, held: ExitStack) -> None:
        self.sock, self.peer = tcp_pair()
        held.enter_context(self.sock)
        held.enter_context(self.peer)
        self.watched = 0
        self.stream = self  # so that a test can set `fileno`
        self.calls: list[str] = []
        self.fileno = self.sock.fileno

    def doRead(self) -> None:
        self.calls.append("read")
        self.sock.recv(100)

    def doWrite(self) -> None:
        self.calls.append("write")

    def proceed(self) -> None:
        self.calls.append("proceed")

    def connectionLost(self, reason: Failure) -> None:
        self.calls.append("lost")


class Stage:
    """A poller in a reactor that is turned by hand."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self.reactor = RecordingReactor()
        self.poller = EpollPoller(self.reactor)

    def watched(self) -> Watched:
        """Something to watch."""
        return Watched(self._held)

    def readable(self) -> Watched:
        """Something that is watched and has something to read."""
        one = self.watched()
        one.peer.send(b"x")
        select.select([one.sock], [], [], 5)
        self.poller.addReader(one)
        return one


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A poller that is stopped in the end."""
    with ExitStack() as held:
        stage = Stage(held)
        yield stage
        stage.poller.stop()
        assert stage.reactor.reading() == set()


def test_interface(stage: Stage) -> None:
    """To the reactor it is one reader."""
    assert verifyObject(IReadDescriptor, stage.poller)
    assert stage.poller.logPrefix() == "poller"


def test_one_descriptor_for_all(stage: Stage) -> None:
    """However many it watches, the reactor watches one; before that none."""
    assert stage.reactor.reading() == set()
    for _ in range(3):
        stage.readable()
    assert stage.reactor.reading() == {stage.poller.fileno()}


def test_ready_before_the_reactors_turn(stage: Stage) -> None:
    """What is ready can be served while the reactor does something else for long."""
    stage.poller.serve_ready()  # there is nothing yet
    reader = stage.readable()
    stage.poller.serve_ready()
    assert reader.calls == ["read"]


def test_what_is_not_read_any_more(stage: Stage) -> None:
    """What is to wait for another of the same batch is not read in it."""
    both = [stage.readable(), stage.readable()]

    def read(one: Watched, other: Watched) -> None:
        one.calls.append("read")
        stage.poller.removeReader(other)
        stage.poller.addWriter(other)

    for one, other in zip(both, reversed(both), strict=True):
        one.doRead = partial(read, one, other)  # type: ignore[method-assign]
    stage.reactor.turn()
    assert sorted(each.calls for each in both) == [[], ["read"]]
    stage.reactor.turn()
    assert sorted(each.calls for each in both) == [["read", "read"], ["write"]]


def test_reads_and_writes(stage: Stage) -> None:
    """Each descriptor gets the events that it asked for, and no others."""
    reader, writer, both = stage.readable(), stage.watched(), stage.readable()
    stage.poller.addWriter(writer)
    stage.poller.addWriter(both)
    stage.reactor.turn()
    assert reader.calls == ["read"]
    assert writer.calls == ["write"]
    assert both.calls == ["read", "write"]
    stage.poller.removeWriter(writer)
    stage.poller.removeWriter(both)
    stage.reactor.settle()
    assert writer.calls == ["write"]
    both.peer.send(b"x")
    stage.reactor.settle()
    assert both.calls == ["read", "write", "read"]


def test_twice_is_once(stage: Stage) -> None:
    """To ask for what is asked for already, or to take back nothing, is nothing."""
    one = stage.readable()
    stage.poller.addReader(one)
    stage.poller.removeWriter(one)
    stage.reactor.settle()
    assert one.calls == ["read"]
    stage.poller.removeReader(one)
    stage.poller.removeReader(one)
    stage.poller.forget(one)
    one.peer.send(b"x")
    stage.reactor.settle()
    assert one.calls == ["read"]


def test_peer_that_resets(stage: Stage) -> None:
    """An error arrives as the requested event: the next call shows it."""
    reader, writer = stage.watched(), stage.watched()
    stage.poller.addReader(reader)
    stage.poller.addWriter(writer)
    reset(reader.peer)
    reset(writer.peer)
    with capturedLogs():
        stage.reactor.turn()
    assert reader.calls[0] == "read"
    assert writer.calls == ["write"]


def test_forgotten_and_closed(stage: Stage) -> None:
    """A forgotten descriptor may be closed, and reused by another connection."""
    one, other = stage.readable(), stage.watched()
    stage.poller.forget(one)
    descriptor = one.sock.detach()
    os.dup2(other.fileno(), descriptor)  # closes what it was before
    heir = socket.socket(fileno=descriptor)
    with heir:
        other.fileno = heir.fileno
        stage.poller.addReader(other)
        other.peer.send(b"x")
        stage.reactor.settle()
        stage.poller.forget(other)
    assert one.calls == []
    assert other.calls == ["read"]


def test_ended_by_another(stage: Stage) -> None:
    """Of two that are ready, the first may end the second: that is not called."""
    pair = [stage.readable(), stage.readable()]

    def forget_other(mine: Watched, other: Watched) -> None:
        mine.doRead = lambda: stage.poller.forget(other)  # type: ignore[method-assign]

    forget_other(*pair)
    forget_other(*reversed(pair))
    stage.reactor.turn()
    assert sorted(each.watched for each in pair) == [0, 1]


def test_read_ends_the_write(stage: Stage) -> None:
    """A connection that ends at a read gets no write event as well."""
    one = stage.readable()
    stage.poller.addWriter(one)
    one.doRead = lambda: stage.poller.forget(one)  # type: ignore[method-assign]
    stage.reactor.turn()
    assert one.calls == []


def test_deferred_work_comes_last(stage: Stage) -> None:
    """Deferred work comes after everything that was ready at the same time."""
    order: list[str] = []
    one, other = stage.readable(), stage.readable()
    for each in (one, other):
        each.calls = order
    stage.poller.later(one)
    stage.reactor.turn()
    assert order == ["read", "read", "proceed"]
    stage.reactor.settle()
    assert order == ["read", "read", "proceed"]


def test_forgotten_before_its_deferred_work(stage: Stage) -> None:
    """A connection that ends in the batch has no deferred work left."""
    one, other = stage.readable(), stage.readable()
    one.doRead = lambda: stage.poller.forget(one, other)  # type: ignore[method-assign]
    for each in (one, other):
        stage.poller.later(each)
    stage.reactor.settle()
    assert "proceed" not in one.calls + other.calls


def test_several_at_once(stage: Stage) -> None:
    """Two sockets of a connection are watched and forgotten by one call each."""
    one, other = stage.watched(), stage.watched()
    stage.poller.addWriter(other)
    stage.poller.addReader(one, other)
    for each in (one, other):
        each.peer.send(b"x")
    stage.reactor.turn()
    assert (one.calls, other.calls) == (["read"], ["read", "write"])
    stage.poller.forget(one, other)
    for each in (one, other):
        each.peer.send(b"x")
    stage.reactor.settle()
    assert (one.calls, other.calls) == (["read"], ["read", "write"])


def test_a_bug_ends_one_connection(stage: Stage) -> None:
    """A bug at one connection ends that one, is logged, and holds up no other."""
    bad, good = stage.readable(), stage.readable()

    def fail() -> None:
        stage.poller.forget(bad)
        bad.sock.close()
        raise RuntimeError("oops")

    bad.doRead = fail  # type: ignore[method-assign]
    with capturedLogs() as logs:
        stage.reactor.settle()
    assert bad.calls == ["lost"]
    assert good.calls == ["read"]
    assert [formatEvent(event) for event in logs] == ["a bug in lbconsul"]


def test_bug_in_what_was_put_off(stage: Stage) -> None:
    """A bug in deferred work ends that connection, and no other."""
    bad, good, other = stage.readable(), stage.readable(), stage.readable()
    bad.proceed = broken  # type: ignore[method-assign]
    for each in (bad, good):
        stage.poller.later(each)
    with capturedLogs() as logs:
        stage.reactor.settle()
    assert bad.calls == ["read", "lost"]
    assert sorted(good.calls) == ["proceed", "read"]
    assert other.calls == ["read"]
    assert [formatEvent(event) for event in logs] == ["a bug in lbconsul"]


def test_bug_at_the_end(stage: Stage) -> None:
    """A connection that cannot even be ended is called no more."""
    bad, good = stage.readable(), stage.readable()
    bad.doRead = bad.connectionLost = broken  # type: ignore[method-assign,assignment]
    with capturedLogs() as logs:
        stage.reactor.turn()
    bad.sock.close()
    stage.reactor.settle()
    assert good.calls == ["read"]
    assert bad.watched == 0
    assert len(logs) == 2


def broken(*_: object) -> None:
    """A bug."""
    raise RuntimeError("oops")


def test_a_descriptor_that_cannot_be_watched(stage: Stage) -> None:
    """A descriptor that the kernel will not watch is ignored."""
    one = stage.watched()
    one.fileno = lambda: 10_000
    with pytest.raises(OSError, match="Bad file descriptor"):
        stage.poller.addReader(one)
    assert one.watched == 0
    stage.poller.removeReader(one)
    stage.poller.forget(one)


def test_stop_and_go(stage: Stage) -> None:
    """A stopped poller can be used again."""
    one = stage.readable()
    stage.poller.stop()
    assert stage.poller.fileno() == -1
    stage.reactor.settle()
    assert one.calls == []
    stage.poller.addReader(one)
    stage.reactor.settle()
    assert one.calls == ["read"]


def test_sockets_that_live_on_elsewhere(stage: Stage) -> None:
    """
    A socket that is closed here, but open in a forked process, causes no endless
    events, and the other sockets are still watched.
    """
    gone, stays = stage.readable(), stage.watched()
    stage.poller.addReader(stays)
    copy = gone.sock.dup()
    stage.poller.forget(gone)
    gone.sock.close()
    before = stage.poller.fileno()
    for _ in range(1100):
        stage.reactor.turn(0)
    stage.reactor.settle()
    copy.close()
    assert stage.reactor.reading() == {stage.poller.fileno()}
    assert before >= 0
    stays.peer.send(b"x")
    stage.reactor.settle()
    assert stays.calls == ["read"]


def test_reactor_ends(stage: Stage) -> None:
    """A reactor that ends tells all that is watched."""
    one = stage.readable()
    stage.poller.connectionLost(Failure(ConnectionDone()))
    assert one.calls == ["lost"]


def test_a_stopped_poller_has_no_descriptor() -> None:
    """A stopped poller has no descriptor, whether it ever watched or not."""
    stopped = EpollPoller(RecordingReactor())
    stopped.stop()
    assert stopped.fileno() == -1


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no epoll the reactor itself does."""
    reactor = RecordingReactor()
    chosen = open_poller(reactor)
    assert isinstance(chosen, EpollPoller)
    chosen.stop()
    monkeypatch.delattr(select, "epoll")
    assert isinstance(open_poller(reactor), ReactorPoller)


def test_reactor_as_poller() -> None:
    """The fallback watches by the reactor's own means, and defers nothing."""
    with ExitStack() as held:
        reactor = RecordingReactor()
        plain = ReactorPoller(reactor)
        one = Watched(held)
        plain.addReader(one)
        plain.addWriter(one)
        assert reactor.reading() == reactor.writing() == {one.fileno()}
        plain.forget(one)
        assert reactor.reading() | reactor.writing() == set()
        plain.serve_ready()  # in its next turn
        plain.later(one)
        assert one.calls == ["proceed"]
        plain.stop()


def test_numbers_of_events() -> None:
    """
    The event numbers are the kernel's, whether this Python has names for them or not.
    """
    assert (poller._IN, poller._OUT) == (select.EPOLLIN, select.EPOLLOUT)
