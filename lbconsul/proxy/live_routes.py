"""Routes that come and go while their mapping is served, without a reload."""

from collections.abc import Hashable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import Factory, define, frozen

from lbconsul.balance.split import Split
from lbconsul.config import model
from lbconsul.config.listen import Listen

if TYPE_CHECKING:
    from lbconsul.http.fields import Fields

#: A route's rows by their `Mapping.route`, each with its share of the requests.
Shares = tuple[tuple[str, float], ...]


@define(eq=False)
class Epoch:
    """A time in which equal requests of a client have the same route.

    What was planned for a request is good until its epoch is over.
    """

    is_over: bool = False


#: Of mappings whose routes change by a reload only.
LASTING = Epoch()

#: Of requests whose route is chosen for each of them.
EACH_REQUEST = Epoch(is_over=True)


@frozen
class Present:
    """All rows that there are, by `Mapping.route`, and the keys of all routes."""

    rows: frozenset[str]
    routes: frozenset[Hashable]


@frozen
class RowChanges:
    """What becomes of the rows of a mapping, and of the routes that lead to them."""

    listen: Listen | None
    #: Rows that are new, or have other options; `Mapping.route` tells them apart.
    put: tuple[model.Mapping, ...] = ()
    #: The rows that are gone.
    drop: tuple[str, ...] = ()
    #: By the keys of routes; None: the route is gone.
    routes: tuple[tuple[Hashable, Shares | None], ...] = ()
    #: Rows and routes that are not among these are gone; None: those that are not told
    #: of stay.
    present: Present | None = None
    #: Whether all routes are known from now on.
    is_complete: bool = False


class Finder(Protocol):
    """A table of routes that finds that of a request."""

    def put(self, key: Any, value: Any) -> None:
        """Have a route with this key lead to a value."""

    def drop(self, key: Any) -> None:
        """Have the route with this key no more."""

    def find(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> Any:
        """What the route of a request leads to; None if it has none."""

    def matching(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> Iterator[Any]:
        """The same, and then what the routes of less specific hosts lead to."""


class Routed(Protocol):
    """The proxy of a row."""

    #: Whether its route has other proxies beside it, one of which each request gets.
    shares_route: bool

    @property
    def is_usable(self) -> bool:
        """Whether an upstream may get its requests now."""


Proxy = TypeVar("Proxy", bound=Routed)


@define(eq=False)
class Turns(Generic[Proxy]):
    """Chooses one of several proxies for each request, exactly by their shares.

    If none has an upstream the first proxy says why.
    """

    _split: Split[Proxy]

    @classmethod
    def of(cls, proxies: list[tuple[Proxy, float]]) -> "Turns[Proxy]":
        """Choose between these, each with its share."""
        split = Split([each for each, _ in proxies], [share for _, share in proxies])
        return cls(split)

    def use(self, proxies: list[tuple[Proxy, float]]) -> "Turns[Proxy]":
        """The same, or others, with these shares from now on."""
        if list(self._split.parts) != [each for each, _ in proxies]:
            return Turns.of(proxies)
        self._split.reweigh([share for _, share in proxies])
        return self

    def next(self) -> Proxy:
        """The proxy of the next request."""
        return self._split.choose() or self._split.parts[0]


@define(eq=False)
class LiveRoutes(Generic[Proxy]):
    """The routes of a mapping to its proxies: what takes the place of a router."""

    _finder: Finder
    _turns: dict[Hashable, Turns[Proxy]] = Factory(dict)
    #: The rows of each route.
    _rows: dict[Hashable, Shares] = Factory(dict)
    #: The routes of each row.
    _routes: dict[str, set[Hashable]] = Factory(dict)
    epoch: Epoch = Factory(Epoch)
    #: Whether all routes are known; until then a request without one gets 503.
    is_complete: bool = False

    def find(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> Proxy | None:
        """The proxy of a request; None if it has no route.

        The parameters are those of `lbconsul.http.router.Router.find`.
        """
        found = self._finder.find(host, path, method, fields)
        proxy: Proxy | None = found.next() if isinstance(found, Turns) else found
        return proxy

    def further(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> Iterator[Proxy]:
        """The proxies of less specific hosts, for a request that its own route would
        send to where it came from.
        """
        values = self._finder.matching(host, path, method, fields)
        for found in islice(values, 1, None):
            yield found.next() if isinstance(found, Turns) else found

    def amend(self, changes: RowChanges, proxies: Mapping[str, Proxy]) -> None:
        """Follow changes; `proxies` are those of all rows, by `Mapping.route`."""
        self.epoch.is_over = True
        self.epoch = Epoch()
        routes = dict(changes.routes)
        self.is_complete = self.is_complete or changes.is_complete
        if changes.present is not None:
            routes |= dict.fromkeys(self._rows.keys() - changes.present.routes)
        # A row with other options has another proxy; its routes may be as before.
        for row in changes.put:
            for key in self._routes.get(row.route, ()):
                routes.setdefault(key, self._rows[key])
        for key, shares in routes.items():
            self._forget(key)
            if shares is None:
                self._turns.pop(key, None)
                self._finder.drop(key)
            else:
                self._remember(key, shares)
                self._finder.put(key, self._target(key, shares, proxies))

    def renew(self, proxies: Mapping[str, Proxy]) -> None:
        """Use these proxies of the same rows from now on."""
        rows = tuple(self._rows.items())
        self.amend(RowChanges(None, routes=rows), proxies)

    def _target(
        self, key: Hashable, shares: Shares, proxies: Mapping[str, Proxy]
    ) -> Proxy | Turns[Proxy]:
        found = [(proxies[row], share) for row, share in shares]
        is_shared = len(found) > 1
        for proxy, _ in found:
            proxy.shares_route = is_shared
        if not is_shared:
            self._turns.pop(key, None)
            return found[0][0]
        before = self._turns.get(key)
        turns = Turns.of(found) if before is None else before.use(found)
        self._turns[key] = turns
        return turns

    def _remember(self, key: Hashable, shares: Shares) -> None:
        self._rows[key] = shares
        for row, _ in shares:
            self._routes.setdefault(row, set()).add(key)

    def _forget(self, key: Hashable) -> None:
        for row, _ in self._rows.pop(key, ()):
            keys = self._routes[row]
            keys.discard(key)
            if not keys:
                del self._routes[row]
