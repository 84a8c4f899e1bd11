"""The rows of a mapping that come and go while it is served.  Pure."""

from collections.abc import Hashable, Iterator
from collections.abc import Mapping as AbstractMapping

from attrs import Factory, define

from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping
from lbconsul.proxy.live_routes import Present, RowChanges, Shares
from lbconsul.workers.messages import Amend

#: Rows, and routes, in one command: to pickle them takes a few milliseconds.
_AT_ONCE = 100


@define(eq=False)
class LiveRows:
    """The present rows of one mapping, and its routes to them."""

    #: By `Mapping.route`.
    rows: dict[str, Mapping] = Factory(dict)
    _routes: dict[Hashable, Shares] = Factory(dict)
    #: Whether all of them are known.
    _is_complete: bool = False

    def apply(self, changes: RowChanges) -> list[str]:
        """Follow changes; returns the rows that are gone."""
        self._is_complete = self._is_complete or changes.is_complete
        gone = [route for route in changes.drop if route in self.rows]
        for route in gone:
            del self.rows[route]
        self.rows.update((row.route, row) for row in changes.put)
        for key, shares in changes.routes:
            if shares is None:
                self._routes.pop(key, None)
            else:
                self._routes[key] = shares
        return gone

    def parts(
        self, listen: Listen | None, numbers: AbstractMapping[str, int]
    ) -> Iterator[Amend]:
        """All of it, as commands for a worker; `numbers` are those of the rows."""
        rows, routes = tuple(self.rows.values()), tuple(self._routes.items())
        own = numbers[""]
        for at in range(0, len(rows), _AT_ONCE):
            some = rows[at : at + _AT_ONCE]
            put = {row.route: numbers[row.route] for row in some}
            yield Amend(own, RowChanges(listen, put=some), put)
        for at in range(0, len(routes), _AT_ONCE):
            changes = RowChanges(listen, routes=routes[at : at + _AT_ONCE])
            yield Amend(own, changes, {})
        present = Present(frozenset(self.rows), frozenset(self._routes))
        yield Amend(own, RowChanges(listen, (), (), (), present, self._is_complete), {})
