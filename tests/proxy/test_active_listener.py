"""One listening address whose options may be altered: what its parts are told."""

import socket
from typing import Any

from attrs import Factory, define
from twisted.internet.task import Clock

from lbconsul.config.model import Mapping, TCPListen
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.connection_limit import ConnectionLimit

MAPPING = Mapping("web", TCPListen("127.0.0.1", 80))


@define(eq=False)
class FakeFactory:
    """A proxy that notes its clients."""

    open: int = 0
    mapping: Mapping = MAPPING
    room: ConnectionLimit = Factory(lambda: ConnectionLimit(Clock()))
    clients: list[object] = Factory(list)

    def connected(self, client: socket.socket, address: object) -> None:
        self.clients.append(address)


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


def made(**of: Any) -> tuple[ActiveListener, list[FakeListener], FakeSource]:
    """One, the listeners it will have had, and its socket."""
    listeners: list[FakeListener] = []

    def listener(served: ActiveListener, source: Any) -> Any:
        listeners.append(FakeListener(source))
        return listeners[-1]

    source, mapped = FakeSource(), FakeFactory(**of)
    return ActiveListener(source, mapped, listener), listeners, source  # type: ignore[arg-type]


def test_accepting() -> None:
    """It has one listener at a time, whose end is not the socket's."""
    served, listeners, source = made()
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
    served, listeners, _ = made()
    served.waiting = clock.callLater(5, served.accept)
    clock.advance(5)
    assert_over(served, clock)
    assert len(listeners) == 1


def assert_over(served: ActiveListener, clock: Clock) -> None:
    """It waits for nothing."""
    assert served.waiting is None
    assert clock.getDelayedCalls() == []


def test_factories() -> None:
    """Clients go to today's proxy, and the connections of all of them count."""
    served, _, _ = made(open=2)
    assert (served.open, served.mapping) == (2, MAPPING)
    other: Any = FakeFactory(3)
    before: Any = served.turn_to(other)
    assert (served.open, served.proxies) == (5, [other, before])
    assert served.room is other.room
    served.connected("client", "address")  # type: ignore[arg-type]
    assert (other.clients, before.clients) == (["address"], [])


def test_news_for_the_listener() -> None:
    """What becomes of connections concerns the listener, if there is one."""
    served, listeners, _ = made()
    served.ended()
    served.starved()
    served.accept()
    served.ended()
    served.starved()
    assert listeners[0].done == ["start", "ended", "starved"]
