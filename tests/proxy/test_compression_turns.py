"""Compression leaves the reactor to others between turns."""

from typing import Any

from twisted.internet.task import Clock

from lbconsul.proxy.compression_turns import IN_A_TURN, CompressionTurns


class Reactor(Clock):
    """A clock on which what is due at once is due in the next turn, a second later."""

    def callLater(  # type: ignore[override]
        self, when: float, *call: Any, **keywords: Any
    ) -> Any:
        return super().callLater(when + 1, *call, **keywords)


class Response:
    """A response that has parts to compress."""

    def __init__(self, turns: CompressionTurns, name: str, done: list[str]) -> None:
        self.turns, self.name, self.done = turns, name, done
        self.is_over = False

    def ask(self, size: int) -> None:
        """A part has come."""
        self.size = size
        if self.turns.take(size):
            self.done.append(self.name)
        else:
            self.turns.wait(self)

    def go_on(self) -> None:
        """Compress that part."""
        if not self.is_over:
            self.turns.go_on(self.size)
            self.done.append(self.name)


def test_turns() -> None:
    """So much is compressed in a turn; then those that wait have theirs, in order."""
    clock, done = Reactor(), list[str]()
    turns = CompressionTurns(clock)
    one, two, three, four = (Response(turns, name, done) for name in "abcd")
    one.ask(IN_A_TURN - 1)
    two.ask(IN_A_TURN)
    three.ask(IN_A_TURN)
    four.ask(1)
    assert done == ["a", "b"]
    clock.advance(1)
    assert done == ["a", "b", "c"]
    one.ask(1)
    clock.advance(1)
    assert done == ["a", "b", "c", "d", "a"]
    clock.advance(1)
    assert not clock.getDelayedCalls()


def test_those_that_have_gone() -> None:
    """A response that was ended while it waited takes no turn from the others."""
    clock, done = Reactor(), list[str]()
    turns = CompressionTurns(clock)
    one, two, three = (Response(turns, name, done) for name in "abc")
    for each in (one, two, three):
        each.ask(IN_A_TURN)
    two.is_over = True
    clock.advance(1)
    assert done == ["a", "c"]
    two.ask(1)
    turns.wait(three)
    turns.stop()
    assert not clock.getDelayedCalls()
