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


def test_an_answer_that_may_be_older() -> None:
    """If one server has news, another one's answer as before may not have them."""
    clock, fleet = Clock(), FakeFleet()
    behind = list[bool]()

    async def ask(client: ConsulClient, index: int, address: int) -> str:
        behind.extend(loop.is_behind(each) for each in ("6", "7", "8"))
        return "7"

    loop = RefreshLoop(
        clock, cast(ConsulClient, FakeClient()), lambda: 0.5, ask, lambda _: None,
        lambda *_: None, cast(Fleet, fleet), "web",
    )  # fmt: skip
    loop.start()
    loop.ask(is_news=True)
    assert behind == [False, False, False] and loop.last == 7
    behind.clear()
    loop.ask()
    assert behind == [True, False, False]
    behind.clear()
    loop.ask(is_news=True)
    assert behind == [True, True, False]
