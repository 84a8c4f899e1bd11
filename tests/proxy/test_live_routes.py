"""Routes that come and go: which proxy gets a request."""

from typing import Any, cast

from attrs import define

from lbconsul.config.model import Mapping
from lbconsul.http.fields import Fields
from lbconsul.proxy.live_routes import LiveRoutes, Present, RowChanges

FIELDS = cast(Fields, None)


@define(eq=False)
class FakeProxy:
    """The proxy of a row."""

    name: str
    is_usable: bool = True
    shares_route: bool = False


class FakeFinder:
    """Finds a route by the path alone."""

    def __init__(self) -> None:
        self.values: dict[bytes, Any] = {}

    def put(self, key: Any, value: Any) -> None:
        self.values[key] = value

    def drop(self, key: Any) -> None:
        self.values.pop(key, None)

    def find(self, host: str | None, path: bytes, method: bytes, fields: Fields) -> Any:
        return self.values.get(path)

    def matching(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Any:
        return iter([self.values[each] for each in (path, b"/") if each in self.values])


def found(routes: LiveRoutes[FakeProxy], path: bytes) -> str | None:
    """The name of the proxy that a request gets."""
    proxy = routes.find(None, path, b"GET", FIELDS)
    return None if proxy is None else proxy.name


def row(name: str) -> Mapping:
    """A row with this name as its route."""
    return Mapping("web", route=name)


def test_routes_come_and_go() -> None:
    """From a change on requests have the new routes, and old plans are over."""
    routes = LiveRoutes[FakeProxy](FakeFinder())
    proxies = {name: FakeProxy(name) for name in "ab"}
    before = routes.epoch
    routes.amend(RowChanges(None, routes=((b"/a", (("a", 1.0),)),)), proxies)
    assert [before.is_over, routes.epoch.is_over] == [True, False]
    assert [found(routes, b"/a"), routes.is_complete] == ["a", False]
    proxies["a"] = FakeProxy("newer")
    routes.amend(RowChanges(None, put=(row("a"),), is_complete=True), proxies)
    assert [found(routes, b"/a"), routes.is_complete] == ["newer", True]
    routes.amend(RowChanges(None, routes=((b"/a", None),)), proxies)
    assert found(routes, b"/a") is None


def test_shares() -> None:
    """Several rows of a route share its requests exactly, also by other shares."""
    routes = LiveRoutes[FakeProxy](FakeFinder())
    proxies = {name: FakeProxy(name) for name in "ab"}

    def shared(a: float, b: float) -> str:
        shares = (("a", a), ("b", b))
        routes.amend(RowChanges(None, routes=((b"/", shares),)), proxies)
        return "".join(str(found(routes, b"/")) for _ in range(20))

    assert shared(0.25, 0.75).count("a") == 5
    assert shared(0.5, 0.5).count("a") == 10
    assert all(each.shares_route for each in proxies.values())
    proxies["b"].is_usable = False
    assert shared(0.5, 0.5) == "a" * 20
    proxies["a"].is_usable = False
    assert shared(0.0, 0.0) == "a" * 20
    routes.amend(RowChanges(None, routes=((b"/", (("b", 1.0),)),)), proxies)
    assert found(routes, b"/") == "b" and not proxies["b"].shares_route


def test_what_is_not_present_is_gone() -> None:
    """After a worker got all rows it has no other routes."""
    routes = LiveRoutes[FakeProxy](FakeFinder())
    proxies = {name: FakeProxy(name) for name in "ab"}
    pairs = ((b"/a", (("a", 1.0),)), (b"/b", (("b", 1.0),)))
    routes.amend(RowChanges(None, routes=pairs), proxies)
    present = Present(frozenset("b"), frozenset([b"/b"]))
    routes.amend(RowChanges(None, present=present), proxies)
    assert found(routes, b"/a") is None
    assert found(routes, b"/b") == "b"
    proxies["b"] = FakeProxy("renewed")
    routes.renew(proxies)
    assert found(routes, b"/b") == "renewed"


def test_further_routes() -> None:
    """After the route of a request come those of less specific hosts."""
    routes = LiveRoutes[FakeProxy](FakeFinder())
    proxies = {name: FakeProxy(name) for name in "abc"}
    pairs = ((b"/a", (("a", 1.0),)), (b"/", (("b", 1.0), ("c", 0.0))))
    routes.amend(RowChanges(None, routes=pairs), proxies)
    further = routes.further(None, b"/a", b"GET", FIELDS)
    assert [each.name for each in further] == ["b"]
