"""A listening address whose options may change: what its parts learn."""

import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.task import Clock

from lbconsul.config.model import Limits, Mapping, TCPListen
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.connection_limit import ConnectionLimit

MAPPING = Mapping("web", TCPListen("127.0.0.1", 80))


@define(eq=False)
class FakeProxy:
    """A proxy with so many connections."""

    open: int = 0
    mapping: Mapping = MAPPING
    handshaking: None = None
    connection_limit: ConnectionLimit = Factory(lambda: ConnectionLimit(Clock()))


@define(eq=False)
class FakeListener:
    """A listener that notes what is done to it."""

    source: Any
    done: list[str] = Factory(list)

    def startService(self) -> None:
        self.done.append("start")

    def stopService(self) -> None:
        self.done.append("stop")
        self.source.close()

    def connection_ended(self) -> None:
        self.done.append("ended")

    def starved(self) -> None:
        self.done.append("starved")


@define(eq=False)
class FakeSource:
    """A socket's owner."""

    closed: int = 0

    def open(self) -> socket.socket:
        return "the socket"  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1


@define(eq=False)
class FakeOwner:
    """Makes proxies with more connections each, and notes whose connections ended."""

    listeners: list[FakeListener] = Factory(list)
    ended: list[object] = Factory(list)
    opens: Iterator[int] = Factory(lambda: count(2))

    def proxy_for(self, mapping: Mapping, observer: object) -> Any:
        return FakeProxy(next(self.opens), mapping)

    def listener_for(self, active: ActiveListener, source: Any) -> Any:
        self.listeners.append(FakeListener(source))
        return self.listeners[-1]

    def on_ended(self, active: ActiveListener, proxy: object) -> None:
        self.ended.append(proxy)


def made() -> tuple[ActiveListener, FakeOwner, FakeSource]:
    """One, what makes its parts, and its socket."""
    source, owner = FakeSource(), FakeOwner()
    return ActiveListener(source, MAPPING, owner), owner, source


def test_accepting() -> None:
    """There is one listener at a time, and closing it keeps the socket."""
    served, owner, source = made()
    listeners = owner.listeners
    served.accept()
    served.accept()
    assert [each.done for each in listeners] == [["start"]]
    assert listeners[0].source.open() == "the socket"
    served.pause()
    served.pause()
    assert (listeners[0].done, source.closed) == (["start", "stop"], 0)
    served.accept()
    served.close()
    assert (listeners[1].done, source.closed) == (["start", "stop"], 1)


def test_waiting() -> None:
    """The waiting is over when clients are accepted, or never will be."""
    clock = Clock()
    for end in (ActiveListener.accept, ActiveListener.pause, ActiveListener.close):
        served, _, _ = made()
        served.waiting = clock.callLater(5, served.accept)
        end(served)
        assert_over(served, clock)
    served, owner, _ = made()
    served.waiting = clock.callLater(5, served.accept)
    clock.advance(5)
    assert_over(served, clock)
    assert len(owner.listeners) == 1


def assert_over(served: ActiveListener, clock: Clock) -> None:
    """The listener waits for nothing."""
    assert served.waiting is None
    assert clock.getDelayedCalls() == []


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients go to today's proxy, and the connections of all of them count."""
    clients: list[tuple[object, object]] = []
    module = "lbconsul.proxy.handler.handle"
    monkeypatch.setattr(module, lambda proxy, _, at: clients.append((proxy, at)))
    served, _, _ = made()
    assert (served.open, served.mapping) == (2, MAPPING)
    altered = evolve(MAPPING, tag="v2")
    before = served.use(altered)
    other = served.proxy
    assert (served.open, served.proxies) == (5, [other, before])
    assert served.mapping == altered
    assert served.connection_limit is other.connection_limit
    served.connected("client", "address")  # type: ignore[arg-type]
    assert clients == [(other, "address")]


def test_news_for_the_listener() -> None:
    """Ended connections are reported to the listener, if there is one."""
    served, owner, _ = made()
    served.on_ended(served.proxy)
    served.on_starved()
    served.accept()
    served.on_ended(served.proxy)
    served.on_starved()
    assert owner.listeners[0].done == ["start", "ended", "starved"]
    assert owner.ended == [served.proxy] * 2


def test_when_the_end_of_a_connection_matters() -> None:
    """
    Proxies tell of each end unless the listener accepts and there is no older proxy.
    """
    served, _, _ = made()
    awaited = [served.awaits_end]
    for is_reading in (True, False, True):
        served.on_reading(is_reading)
        awaited.append(served.awaits_end)
    assert awaited == [True, False, True, False]
    before = served.use(evolve(MAPPING, tag="v2"))
    awaited = [served.awaits_end]
    served.on_reading(True)
    awaited.append(served.awaits_end)
    for proxy in (before, served.proxy):
        served.drop(proxy)
        awaited.append(served.awaits_end)
    assert served.older == []
    assert awaited == [True, True, False, False]


def test_limits_that_change() -> None:
    """The listener sees the limits of today's options."""
    served, _, _ = made()
    assert served.max_connections == 0
    served.use(evolve(MAPPING, limits=Limits(connections=7)))
    assert served.max_connections == 7
    assert served.connection_limit is served.proxy.connection_limit
