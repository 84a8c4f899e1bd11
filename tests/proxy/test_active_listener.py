"""A listening address whose options may change: what its parts learn."""

import socket
from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from twisted.internet.task import Clock

from lbconsul.config.build import configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Limits, Mapping
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.live_routes import LiveRoutes
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.steps import finish

MAPPING = Mapping("web", TCPListen("127.0.0.1", 80))


@define(eq=False)
class FakeProxy:
    """A proxy with so many connections."""

    open: int = 0
    mapping: Mapping = MAPPING
    handshaking: None = None
    hooks: None = None
    http: None = None
    split: Any = None
    routes: list["FakeProxy"] | None = None
    newer: "FakeProxy | None" = None
    is_retired: bool = False
    connection_limit: ConnectionLimit = Factory(lambda: ConnectionLimit(Clock()))

    def route_by(self, table: Any, newer: "FakeProxy | None" = None) -> None:
        self.routes, self.newer = [*table.routes], newer

    @property
    def is_routed(self) -> bool:
        return bool(self.mapping.key)

    @property
    def has_routes(self) -> bool:
        return self.routes is not None

    @property
    def is_in_use(self) -> bool:
        return self.open > 0

    def retire(self) -> None:
        self.is_retired = True


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

    def routes_for(self, mapping: Mapping) -> LiveRoutes[MappingProxy]:
        raise AssertionError("its routes are no tags")

    def listener_for(self, active: ActiveListener, source: Any) -> Any:
        self.listeners.append(FakeListener(source))
        return self.listeners[-1]

    def split_of(self, proxies: Any) -> Any:
        return [each.mapping.part and each.mapping.part.name for each in proxies]

    def on_ended(self, active: ActiveListener, proxy: object) -> None:
        self.ended.append(proxy)


def use(served: ActiveListener, mapping: Mapping, *, renew: bool = False) -> list[Any]:
    """Serve new clients with these options; the proxies that get none now."""
    return served.use(mapping, finish(served.making(mapping, renew=renew)))


def made(mapping: Mapping = MAPPING) -> tuple[ActiveListener, FakeOwner, FakeSource]:
    """One, what makes its parts, and its socket."""
    source, owner = FakeSource(), FakeOwner()
    return ActiveListener(source, mapping, owner), owner, source


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
    [before] = use(served, altered)
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
    [before] = use(served, evolve(MAPPING, tag="v2"))
    awaited = [served.awaits_end]
    served.on_reading(True)
    awaited.append(served.awaits_end)
    for is_open, gone in ((True, []), (False, [before]), (False, [])):
        before.open = is_open
        assert served.drop_idle() == gone
        awaited.append(served.awaits_end)
    assert served.older == []
    assert awaited == [True, True, True, False, False]


def test_limits_that_change() -> None:
    """The listener sees the limits of today's options."""
    served, _, _ = made()
    assert served.max_connections == 0
    use(served, evolve(MAPPING, limits=Limits(connections=7)))
    assert served.max_connections == 7
    assert served.connection_limit is served.proxy.connection_limit


def routes_of(proxy: Any) -> list[Any]:
    """The proxies of routes that a proxy hands clients over to."""
    return [*proxy.routes]


def rest_of(proxy: Any) -> Any:
    """What serves a proxy's clients that no route takes, if it has no service."""
    return proxy.newer


class TestRoutes:
    """A listening address with routes: each has a proxy of its own."""

    A, B, C = (evolve(MAPPING, route=f"{each}.com", service=each) for each in "abc")

    def test_proxies(self) -> None:
        """The mapping's proxy gets each client, and knows those of its routes."""
        served, _, _ = made(evolve(MAPPING, routes=(self.A, self.B)))
        own, a, b = served.current
        assert [each.mapping for each in served.current] == [MAPPING, self.A, self.B]
        assert served.proxy is own
        assert routes_of(own) == [a, b]
        assert served.open == 2 + 3 + 4
        assert all(map(served.has, (MAPPING, self.A, self.B)))
        assert not served.has(self.C)
        assert not served.has(evolve(self.B, tag="v2"))

    def test_unchanged(self) -> None:
        """A reload leaves alone what it does not change."""
        served, _, _ = made(evolve(MAPPING, routes=(self.A, self.B)))
        own, a, b = served.current
        moved = evolve(self.B, service="new")
        assert use(served, evolve(MAPPING, routes=(moved, self.C))) == [a, b]
        assert served.proxy is own
        assert routes_of(own) == [*served.current][1:]
        assert [each.mapping for each in served.current] == [MAPPING, moved, self.C]
        assert [served.is_current(each) for each in (own, a, b)] == [True, False, False]

    def test_first_and_last_route(self) -> None:
        """
        With its first route a mapping gets a new proxy, since it counts clients of its
        own only from then on; with the last one, too.
        """
        served, _, _ = made()
        plain = served.proxy
        assert plain.routes is None
        assert use(served, evolve(MAPPING, routes=(self.A,))) == [plain]
        routed = served.proxy
        assert plain.routes is None
        assert use(served, MAPPING)[0] is routed
        assert served.proxy.routes is None
        assert routes_of(routed) == []

    def test_renewed(self) -> None:
        """All have new proxies if something changes that concerns all."""
        mapping = evolve(MAPPING, routes=(self.A,))
        served, _, _ = made(mapping)
        before = [*served.current]
        assert use(served, mapping, renew=True) == before
        assert not any(map(served.is_current, before))

    def test_handshakes_of_an_older_proxy(self) -> None:
        """A client whose handshake began before a reload goes to a route of today."""
        served, _, _ = made(evolve(MAPPING, routes=(self.A,)))
        older = served.proxy
        use(served, evolve(MAPPING, tag="v2", routes=(self.B,)))
        assert routes_of(older) == routes_of(served.proxy) == [*served.current][1:]
        assert rest_of(older) is served.proxy
        assert rest_of(served.proxy) is None

    def test_handshakes_of_a_removed_mapping(self) -> None:
        """Routes of a removed mapping stay as long as a handshake may lead there."""
        served, _, _ = made(evolve(MAPPING, routes=(self.A, self.B)))
        own, a, b = served.current
        served.retire()
        assert (list(served.current), served.older) == ([], [own, a, b])
        for proxy, is_open, gone in ((a, 0, []), (own, 0, [own, a]), (b, 0, [b])):
            proxy.open = is_open  # type: ignore[misc]
            assert served.drop_idle() == gone


class TestParts:
    """The proxies of mappings and routes that have splits."""

    def test_splits(self) -> None:
        """The proxy of a row with parts, a route's too, has those of its parts."""
        listen = "80:web,mode=sni,split=5%:tag=canary|10%:service=next"
        [mapping] = configure(
            [], [listen], ["80:a.example=a", "80:b.example=b,split=1%:tag=new"]
        ).mappings
        served, _, _ = made(MAPPING)
        use(served, mapping)
        splits = {each.mapping.key: each.split for each in cast(Any, served.current)}
        assert splits == {
            "": ["", "tag=canary", "service=next"],
            "\ntag=canary": None,
            "\nservice=next": None,
            "a.example": None,
            "b.example": ["", "tag=new"],
            "b.example\ntag=new": None,
        }
        routes = cast(Any, served.proxy).routes
        assert [each.mapping.route for each in routes] == ["a.example", "b.example"]

    def test_reload(self) -> None:
        """Kept connections of an older proxy have the new shares at once, and none if
        there is no split any more; those of a removed part end.
        """
        text = "80:web,mode=http"
        some, more, none = (
            configure([], [each]).mappings[0]
            for each in (
                f"{text},split=5%:tag=canary",
                f"{text},split=50%:tag=new",
                text,
            )
        )
        served, _, _ = made(MAPPING)
        use(served, some)
        first = cast(Any, served.proxy)
        replaced = use(served, more)
        assert first in replaced
        assert first.split == cast(Any, served.proxy).split == ["", "tag=new"]
        use(served, none)
        assert served.proxy.split is None
        assert first.split == [None]  # the whole of what serves now
        assert [each.mapping for each in served.current] == [none]
