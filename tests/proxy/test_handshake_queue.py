"""TLS handshakes take turns, with a clock that is set by hand."""

from typing import Any

from attrs import define
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from lbconsul.proxy.handshake_queue import BUDGET, STALLED, HandshakeQueue


@define(eq=False)
class Handshake:
    """One whose turns take so many seconds."""

    clock: Clock
    cost: float = BUDGET / 2
    turns: int = 0
    is_broken: bool = False
    queue: HandshakeQueue | None = None
    is_given_up: bool = False

    def time_out(self) -> None:
        assert self.queue is not None
        if self.is_broken:
            raise ZeroDivisionError
        self.is_given_up = True
        self.queue.leave(self)

    def take_turn(self, has_waited: bool) -> None:
        self.turns += 1
        self.clock.rightNow += self.cost
        if self.is_broken:
            raise ZeroDivisionError


class Stage:
    """A queue and its clock."""

    def __init__(self, most: int = 1000, longest: float = 0.0) -> None:
        self.clock = Clock()
        #: How many turns the others had each time before they were served.
        self.served: list[int] = []
        self.made: list[Handshake] = []
        self.queue = HandshakeQueue(self.clock, self._serve_others, most, longest)

    def _serve_others(self) -> None:
        self.served.append(sum(turns(self.made)))

    def begin(self, count: int) -> list[Handshake]:
        """So many handshakes begin, in one turn of the reactor."""
        made = [Handshake(self.clock, queue=self.queue) for _ in range(count)]
        for each in made:
            self.queue.run(each)
        self.made += made
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
    assert stage.queue.run(handshake)
    assert handshake.turns == 2
    stage.queue.leave(handshake)
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


def test_others_are_served_between_them() -> None:
    """In one turn of the reactor more of a flood goes on, and others do in between."""
    stage = Stage(longest=10 * BUDGET)
    flood = stage.begin(9)
    stage.turn()
    assert turns(flood) == [1] * 9
    assert stage.served == [4, 6, 8]
    stage.turn()
    assert stage.clock.getDelayedCalls() == []


def test_a_flood_leaves_time_for_the_reactor() -> None:
    """However many wait, the reactor's turn ends."""
    stage = Stage(longest=3 * BUDGET)
    flood = stage.begin(99)
    stage.turn()
    assert sum(turns(flood)) == 2 + 6
    assert len(stage.served) == 2
    stage.turn()
    assert sum(turns(flood)) == 2 + 6 + 6


def test_begun_ones_first() -> None:
    """What has begun is completed before more begins."""
    stage = Stage()
    flood = stage.begin(4)
    assert not stage.queue.run(flood[1])
    stage.turn()
    assert turns(flood) == [1, 2, 1, 0]


def test_dear_ones() -> None:
    """A step that takes longer than a turn may is the only one of its turn."""
    stage = Stage()
    dear = [Handshake(stage.clock, 10 * BUDGET) for _ in range(3)]
    for each in dear:
        stage.queue.run(each)
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
    stage.queue.leave(first)
    stage.queue.leave(third)
    stage.turn()
    assert turns(flood) == [1, 1, 0, 1]
    stage.queue.leave(second)
    stage.queue.leave(fourth)
    stage.turn()
    assert stage.clock.getDelayedCalls() == []


def test_stalled_ones() -> None:
    """
    While others wait, one that has waited for its client for a second is given up, and
    no sooner; nothing is given up without need.
    """
    stage = Stage(most=2)
    first, second, third = flood = stage.begin(3)
    stage.turn()
    stage.clock.advance(STALLED - 0.1)
    assert turns(flood) == [1, 1, 0]
    assert not first.is_given_up
    stage.clock.advance(0.2)
    assert (first.is_given_up, second.is_given_up) == (True, False)
    assert turns(flood) == [1, 1, 1]
    stage.clock.advance(60)
    assert not (second.is_given_up or third.is_given_up)
    assert stage.clock.getDelayedCalls() == []


def test_slow_by_our_own_fault() -> None:
    """One whose client has answered is not given up, however long it waits for us."""
    stage = Stage(most=1)
    first, second = flood = [
        Handshake(stage.clock, 2 * STALLED, queue=stage.queue) for _ in range(2)
    ]
    stage.queue.run(first)
    assert not stage.queue.run(first)
    stage.queue.run(second)
    assert turns(flood) == [1, 0]
    assert not first.is_given_up
    stage.turn()
    assert turns(flood) == [2, 0]


def test_gone_while_it_waits() -> None:
    """A client that leaves while it waits takes no turn."""
    stage = Stage()
    flood = stage.begin(4)
    assert not stage.queue.run(flood[0])
    stage.queue.leave(flood[0])
    stage.queue.leave(flood[2])
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


def test_bug_of_one_that_stalls() -> None:
    """One that cannot even be timed out is logged, and keeps no others out."""
    stage = Stage(most=1)
    first, second = flood = stage.begin(2)
    first.is_broken = True
    stage.turn()
    with capturedLogs() as logs:
        stage.clock.advance(STALLED + 0.1)
    assert turns(flood) == [1, 1]
    assert [each["log_failure"].type for each in logs] == [ZeroDivisionError]
    stage.queue.leave(second)
    stage.clock.advance(60)
    assert stage.clock.getDelayedCalls() == []
