"""TLS handshakes take turns, with a clock that is set by hand."""

from typing import Any

from attrs import define
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from lbconsul.proxy.handshake_queue import BUDGET, HandshakeQueue


@define(eq=False)
class Handshake:
    """One whose turns take so many seconds."""

    clock: Clock
    cost: float = BUDGET / 2
    turns: int = 0
    is_broken: bool = False

    def take_turn(self) -> None:
        self.turns += 1
        self.clock.rightNow += self.cost
        if self.is_broken:
            raise ZeroDivisionError


class Stage:
    """A queue and its clock."""

    def __init__(self, most: int = 1000) -> None:
        self.clock = Clock()
        self.queue = HandshakeQueue(self.clock, most)

    def begin(self, count: int) -> list[Handshake]:
        """So many handshakes begin, in one turn of the reactor."""
        made = [Handshake(self.clock) for _ in range(count)]
        for each in made:
            self.queue.begin(each)
        return made

    def turn(self) -> None:
        """The reactor's next turn: `Clock` would go on with what this one adds."""
        calls: list[Any] = list(self.clock.getDelayedCalls())
        for each in calls:
            function = each.func
            each.cancel()
            function()


def turns(handshakes: list[Handshake]) -> list[int]:
    """How many turns each had."""
    return [each.turns for each in handshakes]


def test_at_once() -> None:
    """A handshake goes on at once while its turn of the reactor has time for it."""
    stage = Stage()
    [handshake] = stage.begin(1)
    assert stage.queue.go_on(handshake)
    assert handshake.turns == 2
    stage.queue.leave(handshake, has_begun=True)
    stage.turn()
    assert stage.clock.getDelayedCalls() == []


def test_turns() -> None:
    """A flood goes on a little in each turn of the reactor, in the order it came."""
    stage = Stage()
    flood = stage.begin(5)
    assert turns(flood) == [1, 1, 0, 0, 0]
    stage.turn()
    assert turns(flood) == [1, 1, 1, 1, 0]
    stage.turn()
    assert turns(flood) == [1, 1, 1, 1, 1]
    stage.turn()
    assert stage.clock.getDelayedCalls() == []


def test_begun_ones_first() -> None:
    """What has begun is completed before more begins."""
    stage = Stage()
    flood = stage.begin(4)
    assert not stage.queue.go_on(flood[1])
    stage.turn()
    assert turns(flood) == [1, 2, 1, 0]


def test_dear_ones() -> None:
    """A step that takes longer than a turn may is the only one of its turn."""
    stage = Stage()
    dear = [Handshake(stage.clock, 10 * BUDGET) for _ in range(3)]
    for each in dear:
        stage.queue.begin(each)
    for number in range(3):
        assert turns(dear) == [1] * (number + 1) + [0] * (2 - number)
        stage.turn()


def test_most_at_a_time() -> None:
    """No more have begun than a process has memory for; an end lets the next begin."""
    stage = Stage(most=2)
    first, second, third, fourth = flood = stage.begin(4)
    stage.turn()
    stage.turn()
    assert turns(flood) == [1, 1, 0, 0]
    stage.queue.leave(first, has_begun=True)
    stage.queue.leave(third, has_begun=False)
    stage.turn()
    assert turns(flood) == [1, 1, 0, 1]
    stage.queue.leave(second, has_begun=True)
    stage.queue.leave(fourth, has_begun=True)
    stage.turn()
    assert stage.clock.getDelayedCalls() == []


def test_gone_while_it_waits() -> None:
    """A client that leaves while it waits takes no turn."""
    stage = Stage()
    flood = stage.begin(4)
    assert not stage.queue.go_on(flood[0])
    stage.queue.leave(flood[0], has_begun=True)
    stage.queue.leave(flood[2], has_begun=False)
    stage.turn()
    assert turns(flood) == [1, 1, 0, 1]


def test_bug() -> None:
    """A bug in one handshake is logged, and the others go on."""
    stage = Stage()
    flood = stage.begin(4)
    flood[2].is_broken = True
    with capturedLogs() as logs:
        stage.turn()
    assert turns(flood) == [1, 1, 1, 1]
    assert [each["log_failure"].type for each in logs] == [ZeroDivisionError]
