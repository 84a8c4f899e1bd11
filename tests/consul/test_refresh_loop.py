"""Asking for one service of a fleet."""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbconsul.consul.client import ConsulClient
from lbconsul.consul.fleet import Fleet
from lbconsul.consul.refresh_loop import RefreshLoop
from lbconsul.errors import UnusableAnswer


class FakeFleet:
    """Notes what it is told."""

    confirmed = 3.0

    def __init__(self) -> None:
        self.due = list[str]()
        self.loops = list[RefreshLoop]()

    def begin(self, loop: RefreshLoop) -> None:
        self.loops.append(loop)

    def end(self, loop: RefreshLoop) -> None:
        self.loops.remove(loop)

    def ask(self, services: list[str]) -> None:
        self.due += services


class FakeClient:
    """A client with two addresses."""

    addresses = 2

    def where(self, address: int) -> str:
        return f"consul-{address}"


def vars_of(loop: RefreshLoop) -> tuple[float | None, int]:
    """Since when all is confirmed, and the address that is asked next."""
    return loop.confirmed, loop.address


def test_a_loop() -> None:
    """After a failure it asks the next address, later; a stop gives up the query."""
    clock, fleet, asked = Clock(), FakeFleet(), list[tuple[int, Deferred[Any]]]()
    good, bad = list[int](), list[bool]()

    async def ask(client: ConsulClient, index: int, address: int) -> None:
        asked.append((address, Deferred()))
        await asked[-1][1]

    loop = RefreshLoop(
        clock,
        cast(ConsulClient, FakeClient()),
        lambda: 0.5,
        ask,
        good.append,
        lambda error, is_new: bad.append(is_new),
        cast(Fleet, fleet),
        "web",
    )
    loop.start()
    assert fleet.loops == [loop]
    over = loop.ask()
    was_free = loop.is_free
    asked[0][1].errback(UnusableAnswer("no"))
    assert (over.called, was_free, loop.is_free) == (True, False, True)
    assert bad == [True] and loop.where == "consul-1"
    assert vars_of(loop) == (None, 1)
    clock.advance(1.0)
    assert fleet.due == ["web"]
    loop.ask()
    asked[1][1].callback(None)
    assert good == [1] and asked[1][0] == 1
    assert vars_of(loop) == (3.0, 1)
    loop.again = True
    loop.ask()
    loop.use_client(cast(ConsulClient, FakeClient()))
    assert fleet.due == ["web", "web"] and loop.address == 0
    loop.ask()
    loop.stop()
    assert fleet.loops == [] and len(good) == 1
