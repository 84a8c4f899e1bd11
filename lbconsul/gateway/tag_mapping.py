"""The rows of one mapping whose routes are tags, from the instances that carry them."""

from collections.abc import Callable, Collection, Iterable, Iterator

from attrs import Factory, define, evolve, field

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import InstanceFilter, ServiceQuery
from lbconsul.balance.standing import Standing, evaluate
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.config.tag_routing import TagRouting
from lbconsul.proxy.live_routes import RowChanges, Shares
from lbconsul.proxy.targets import failover_spec
from lbconsul.tags.model import Problem, TableChange, TagInstance, TagRoute
from lbconsul.tags.overrides import parse_commands
from lbconsul.tags.rows import row_of, tcp_row_of
from lbconsul.tags.table import TagTable
from lbconsul.tags.tag import RouteKey, TagRules
from lbconsul.text import listed


@define(eq=False)
class TagMapping:
    """Keeps a table of routes, and tells what its changes mean for the rows."""

    #: Without rows.
    mapping: Mapping
    _seconds: Callable[[], float]
    #: Replaces ``$DC`` in tags.
    datacenter: str = ""
    table: TagTable = field(init=False)
    #: What rows have but for what their tags say.
    base: Mapping = field(init=False)
    #: Which instances may get requests, whatever their tags.
    _rules: InstanceFilter = field(init=False)
    #: The rows of each route, by `Mapping.route`.
    _rows: dict[RouteKey, dict[str, Mapping]] = Factory(dict)
    #: Why rows without a group answer 503, by `Mapping.route`.
    closed: dict[str, str] = Factory(dict)
    #: The mappings of TCP routes.
    _tcp: dict[RouteKey, Mapping] = Factory(dict)
    #: What is wrong about TCP routes, beside what the table says.
    _refused: dict[RouteKey, Problem] = Factory(dict)
    #: Whether all that was listed at the start, or after a reload, is in the table.
    is_complete: bool = False
    #: Routes of before a reload that the table does not have yet.
    _stale: set[RouteKey] = Factory(set)

    def __attrs_post_init__(self) -> None:
        tags = self.mapping.tags
        rules = TagRules(tags.prefix, self.datacenter, tags.matcher)
        self.table = TagTable(rules, tags.hold)
        self.base = evolve(self.mapping, tags=TagRouting())
        spec = failover_spec(evolve(self.base, service="-"))
        self._rules = spec.selections[0].rules

    def altered(self, mapping: Mapping, datacenter: str) -> "TagMapping":
        """The same with other options; its rows stay until `complete`."""
        newer = TagMapping(mapping, self._seconds, datacenter)
        newer._rows, newer._tcp, newer.closed = self._rows, self._tcp, self.closed
        newer._stale = {*self._rows, *self._tcp}
        return newer

    def complete(self) -> RowChanges:
        """All services are in the table now: what is not has no route."""
        self.is_complete = True
        drop = list[str]()
        for key in self._stale:
            drop += self._taken(key)
            self._tcp.pop(key, None)
        gone, self._stale = self._stale, set()
        return RowChanges(
            self.mapping.listen,
            drop=tuple(drop),
            routes=tuple((key, None) for key in gone if not key.port),
            is_complete=True,
        )

    @property
    def tcp(self) -> Collection[Mapping]:
        """The mappings of TCP routes."""
        return self._tcp.values()

    @property
    def problems(self) -> Iterator[Problem]:
        """What is wrong about tags and commands."""
        yield from self.table.problems
        yield from self._refused.values()

    @property
    def rows(self) -> Iterator[Mapping]:
        """The rows that are served."""
        for rows in self._rows.values():
            yield from rows.values()

    def rows_at(self, key: RouteKey) -> list[Mapping]:
        """The rows of a route, in the order of its groups."""
        return list(self._rows[key].values())

    def queries(self, service: str) -> list[ServiceQuery]:
        """What is asked for the instances of a service."""
        spec = failover_spec(evolve(self.base, service=service))
        return [each.query for each in spec.selections]

    def update(
        self,
        service: str,
        instances: Iterable[Instance],
        drained: Collection[Identity],
    ) -> TableChange:
        """Consul lists these instances of a service; what that changes."""
        told = [self._told(each, drained) for each in instances]
        return self.table.update(service, told, self._seconds())

    def use_commands(self, texts: Iterable[tuple[str, str]]) -> TableChange:
        """Have the commands in these keys' texts alter the routes."""
        return self.table.use_commands(*parse_commands(texts, self.table.rules))

    def expire(self) -> TableChange | None:
        """Forget routes whose last instance was gone for long enough."""
        now, due = self._seconds(), self.table.expires
        return self.table.expire(now) if due is not None and due <= now else None

    def _told(self, instance: Instance, drained: Collection[Identity]) -> TagInstance:
        verdict = evaluate(instance, self._rules)
        is_drained = instance.identity in drained
        return TagInstance(
            identity=instance.identity,
            tags=instance.tags,
            weight=verdict.weight,
            usable=verdict.standing is Standing.SERVING and not is_drained,
            address=instance.place,
        )

    def follow(self, change: TableChange) -> RowChanges | None:
        """What a change of the table means for the rows; None: nothing."""
        put, drop, routes = (
            list[Mapping](),
            list[str](),
            dict[RouteKey, Shares | None](),
        )
        for key, route in change.routes.items():
            before = self._taken(key)
            self._stale.discard(key)
            if key.port:
                self._follow_tcp(key, route)
                continue
            if route is None:
                drop += before
                routes[key] = None
                continue
            rows = {row.route: (row, share) for row, share in self._shares(key, route)}
            put += [row for row, _ in rows.values() if before.get(row.route) != row]
            drop += before.keys() - rows.keys()
            routes[key] = tuple((name, share) for name, (_, share) in rows.items())
            self._rows[key] = {name: row for name, (row, _) in rows.items()}
            if not route.groups:
                why = route.closed or "no instance is registered"
                self.closed |= dict.fromkeys(rows, f"closed, requests get 503: {why}")
        if not routes:
            return None
        return RowChanges(
            self.mapping.listen, tuple(put), tuple(drop), tuple(routes.items())
        )

    def _taken(self, key: RouteKey) -> dict[str, Mapping]:
        """The rows that a route had, which are not kept."""
        rows = self._rows.pop(key, {})
        for name in rows:
            self.closed.pop(name, None)
        return rows

    def _follow_tcp(self, key: RouteKey, route: TagRoute | None) -> None:
        """A port leads to the service with the greatest share; others are told of."""
        self._tcp.pop(key, None)
        self._refused.pop(key, None)
        if route is None or not route.groups:
            return
        group = max(route.groups, key=lambda each: each.share)
        first, last = self.mapping.tags.tcp_listeners or (0, 0)
        service, tag, why = group.key.service, f"{key} {group.key.options}", ""
        if not first <= key.port <= last:
            allowed = f"{first}-{last}" if last else "off"
            why = f"port {key.port} is not among those of tcp-listeners={allowed}"
        elif not isinstance(self.mapping.listen, TCPListen):
            why = f"{self.mapping.listen} has no ports: give the mapping a TCP address"
        if why:
            self._refused[key] = Problem(service, None, tag, why)
            return
        self._tcp[key] = evolve(tcp_row_of(self.base, key, group.key), route="")
        if len(route.groups) > 1:
            others = {each.key.service for each in route.groups} - {service}
            why = f"{listed(sorted(others))} have the same port, and get no connections"
            self._refused[key] = Problem(service, None, tag, why, True)

    def _shares(
        self, key: RouteKey, route: TagRoute
    ) -> Iterator[tuple[Mapping, float]]:
        """The rows of a route; without a group, one that has no instance."""
        for group in route.groups:
            yield row_of(self.base, key, group.key), group.share
        if not route.groups:
            yield row_of(self.base, key, None), 0.0
