"""The limit of open connections in a process, and the listeners that wait for it."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from lbconsul.proxy.connection_limit import ConnectionLimit


def release(room: ConnectionLimit) -> None:
    """Count one connection less, as proxies do."""
    room.taken -= 1
    if room.queue:
        room.serve()


class Door:
    """A listener with so many clients in its queue."""

    def __init__(self, room: ConnectionLimit, clients: int) -> None:
        self.room, self.clients = room, clients
        self.let_in = 0
        self.is_waiting = False
        self.trouble: Callable[[], object] = lambda: None

    def open(self) -> None:
        """Accept clients while there is room, and wait for more."""
        while self.clients:
            self.is_waiting = self.room.must_wait(self)
            if self.is_waiting:
                return
            self.take()

    def on_available(self) -> None:
        self.trouble()
        self.is_waiting = False
        if self.clients:
            self.take()
            self.open()

    def take(self) -> None:
        self.clients -= 1
        self.let_in += 1
        self.room.taken += 1


@pytest.fixture
def clock() -> Clock:
    """Time."""
    return Clock()


def test_no_limit(clock: Clock) -> None:
    """Without a limit no listener ever waits."""
    room = ConnectionLimit(clock)
    door = Door(room, 10_000)
    door.open()
    assert (door.let_in, room.taken) == (10_000, 10_000)


def test_limit(clock: Clock) -> None:
    """
    Clients up to the limit are accepted, and then one for each that leaves, in the next
    turn.
    """
    room = ConnectionLimit(clock, 3)
    door = Door(room, 5)
    door.open()
    assert (door.let_in, door.is_waiting) == (3, True)
    release(room)
    assert door.let_in == 3
    clock.advance(0)
    assert (door.let_in, door.is_waiting) == (4, True)
    assert clock.getDelayedCalls() == []


def test_in_turn(clock: Clock) -> None:
    """Waiting listeners have their turn one after the other."""
    room = ConnectionLimit(clock, 3)
    doors = [Door(room, 100) for _ in range(3)]
    for door in doors:
        door.open()
    assert [door.let_in for door in doors] == [3, 0, 0]
    for _ in range(30):
        release(room)
        clock.advance(0)
    assert [door.let_in for door in doors] == [13, 10, 10]


def test_who_comes_late(clock: Clock) -> None:
    """No client is accepted ahead of listeners that wait already."""
    room = ConnectionLimit(clock, 1)
    first, second = Door(room, 2), Door(room, 1)
    first.open()
    release(room)
    second.open()
    assert second.is_waiting
    clock.advance(0)
    assert (first.let_in, second.let_in) == (2, 0)


class Turns(Clock):
    """One in which nothing that is called at once is called within the same turn."""

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> IDelayedCall:
        return super().callLater(max(delay, 0.001), callable, *args, **kw)


def test_all_at_once() -> None:
    """When many leave at once as many come in, a bounded number in each turn."""
    clock = Turns()
    room = ConnectionLimit(clock, 1000)
    doors = [Door(room, 2000), Door(room, 2000)]
    for door in doors:
        door.open()
    for _ in range(1000):
        release(room)
    clock.advance(0.001)
    assert 0 < room.taken < 100
    clock.pump([0.001] * 100)
    assert (room.taken, [door.let_in for door in doors]) == (1000, [1500, 500])


def test_nobody_there(clock: Clock) -> None:
    """One whose clients have gone meanwhile does not keep the next from its turn."""
    room = ConnectionLimit(clock, 1)
    gone, waiting = Door(room, 1), Door(room, 1)
    room.taken += 1
    gone.open()
    waiting.open()
    gone.clients = 0
    release(room)
    clock.advance(0)
    assert (waiting.let_in, room.taken) == (1, 1)
    assert clock.getDelayedCalls() == []


def test_forgotten(clock: Clock) -> None:
    """A listener that stopped waiting is not called, and no timer is left for it."""
    room = ConnectionLimit(clock, 1)
    door = Door(room, 2)
    door.open()
    release(room)
    room.forget(door)
    assert clock.getDelayedCalls() == []
    clock.advance(1)
    assert door.let_in == 1
    room.forget(door)


def test_a_bug_in_one_listener(clock: Clock) -> None:
    """A bug in one listener costs the others nothing, and is in the log."""
    room = ConnectionLimit(clock, 1)
    broken, sound = Door(room, 1), Door(room, 1)
    broken.trouble = lambda: 1 / 0
    room.taken += 1
    broken.open()
    sound.open()
    release(room)
    with capturedLogs() as logs:
        clock.advance(0)
    assert sound.let_in == 1
    assert logs[0]["log_failure"].type is ZeroDivisionError
