"""The monotonic clock for waiting, and the wall clock for people."""

import time
from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import deferLater

from lbconsul.process.clock import WallClock, use_monotonic_clock
from tests.support.in_reactor import run


class Hands:
    """A clock that is set by hand."""

    def __init__(self, shows: float) -> None:
        self.shows = shows

    def __call__(self) -> float:
        return self.shows


@pytest.fixture(params=[EPollReactor, SelectReactor])
def reactor(request: pytest.FixtureRequest) -> object:
    """A reactor that does not run, and whose clock is the wall's."""
    made = request.param()
    yield made
    made.waker.connectionLost(None)
    if hasattr(made, "_poller"):
        made._poller.close()


@pytest.mark.parametrize("moved", [-600.0, 600.0, -1e9])
def test_what_is_due_does_not_care_for_the_wall_clock(
    reactor: "EPollReactor", moved: float
) -> None:
    """A change of the wall clock moves no timer, neither earlier nor later ones."""
    wall, own = Hands(1.7e9), Hands(50.0)
    reactor.seconds = wall
    happened: list[str] = []
    reactor.callLater(10, happened.append, "ten")
    two = reactor.callLater(2, happened.append, "two")
    wall.shows += 1
    own.shows += 1
    for _ in range(2):
        use_monotonic_clock(reactor, own)
    wall.shows += moved
    reactor.callLater(5, happened.append, "six")
    never = reactor.callLater(3, happened.append, "never")
    assert (two.getTime(), reactor.seconds()) == (52.0, 51.0)
    two.delay(1)
    never.cancel()
    for own.shows, expected in (
        (52.9, []),
        (53.0, ["two"]),
        (55.9, ["two"]),
        (56.0, ["two", "six"]),
        (59.9, ["two", "six"]),
        (60.0, ["two", "six", "ten"]),
    ):
        reactor.runUntilCurrent()
        assert happened == expected
    assert reactor.timeout() is None


def test_a_reactor_that_runs() -> None:
    """
    A gateway may be added to a reactor that runs.
    """

    async def scenario(reactor: EPollReactor) -> float:
        wall = Hands(1.7e9)
        reactor.seconds = wall
        waiting: Deferred[None] = deferLater(reactor, 0.01)
        use_monotonic_clock(reactor)
        wall.shows -= 600
        await waiting
        await deferLater(reactor, 0.01)
        return float(reactor.seconds())

    before = time.monotonic()
    assert before < run(scenario) < time.monotonic()


def clocks() -> tuple[Hands, Hands, WallClock]:
    """The clock on the wall, another one, and what leads from this to that."""
    wall, own = Hands(1.7e9), Hands(50.0)
    return wall, own, WallClock(own, wall)


def test_moments() -> None:
    """
    A moment has its time since the epoch, whenever it is asked for.
    """
    wall, own, clock = clocks()
    assert clock.at(40.0) == 1.7e9 - 10
    own.shows += 5
    wall.shows += 5.01
    assert (clock.at(40.0), clock.now()) == (1.7e9 - 10, 1.7e9 + 5)


@pytest.mark.parametrize("moved", [-600.0, 600.0, 0.2])
def test_the_wall_clock_is_set(moved: float) -> None:
    """All times are shown by the wall clock as it is now, and spans stay the same."""
    wall, _, clock = clocks()
    assert clock.now() - clock.at(20.0) == 30
    wall.shows += moved
    assert clock.now() == 1.7e9 + moved
    assert clock.now() - clock.at(20.0) == 30


def test_ages() -> None:
    """The age of a stored time follows the wall clock; it is never negative."""
    _, _, clock = clocks()
    ages: Callable[[float], float] = clock.age
    assert [ages(1.7e9 - 7), ages(1.7e9 + 7)] == [7, 0]
