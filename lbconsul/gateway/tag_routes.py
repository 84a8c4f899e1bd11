"""Follows the services in Consul whose tags are routes, and has their rows served."""

import json
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import chain
from typing import Any

from attrs import Factory, define
from twisted.application.service import MultiService
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.balance.events import EventKind, RouteEvent
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping
from lbconsul.config.tag_routing import TAGS
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.fleet import Fleet
from lbconsul.consul.key_watch import Keys, key_watch
from lbconsul.consul.list_watch import ListWatch
from lbconsul.consul.snapshot import Kept, Snapshot
from lbconsul.consul.tagged_services import Services, tagged_services
from lbconsul.gateway.interfaces import DataPlane, EventObserver
from lbconsul.gateway.tag_listeners import TagListeners
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.gateway.watches import Watches, queries_of
from lbconsul.net.periodic import repeat
from lbconsul.tags.model import Problem, TableChange

#: With so many blocking queries, further services are followed without: an agent takes
#: 200 connections from one client, and other gateways may run on its host.
MOST_BLOCKING = 100

#: So many problems are told of one by one at a time.
MOST_TOLD = 20

#: How long changes are worked on in one turn of the reactor, in seconds.
_SLICE = 0.005

#: How often to look for routes whose instances are gone for long enough, in seconds.
_LOOK = 1.0

#: How long to wait for the first answer about one more service, in seconds.
_PATIENCE = 10.0


@define(eq=False, repr=False)
class TagRoutes(MultiService):
    """The mappings whose routes are tags, and the services that carry such tags."""

    _log = Logger()
    _reactor: Any
    _client: ConsulClient
    _chance: Callable[[], float]
    _watches: Watches
    _data_plane: DataPlane
    _observer: EventObserver
    #: Called after the names have changed as which tags have mappings registered.
    _on_names: Callable[[], object] = lambda: None
    #: Opens the ports of TCP routes; None: nothing does.
    listeners: TagListeners | None = None
    _mappings: dict[Listen | None, TagMapping] = Factory(dict)
    #: By datacenter; empty: the agent's own.
    _lists: dict[str, ListWatch[Services]] = Factory(dict)
    #: Of the last answer.
    _listed_before: dict[str, Services] = Factory(dict)
    _prefixes: frozenset[str] = frozenset()
    #: By prefix.
    _keys: dict[str, ListWatch[Keys]] = Factory(dict)
    #: Where each list is kept, and what was kept there at the start.
    _snapshots: dict[str, Snapshot] = Factory(dict)
    _recalled: dict[str, frozenset[str]] = Factory(dict)
    #: The index of each list at its last answer.
    _indexes: dict[str, int] = Factory(dict)
    #: By datacenter.
    _fleets: dict[str, Fleet] = Factory(dict)
    #: The services that carry such tags, or did so a while ago, with their queries.
    _services: dict[str, tuple[ServiceQuery, ...]] = Factory(dict)
    #: The services by their queries.
    _by_query: dict[ServiceQuery, str] = Factory(dict)
    #: Services that are listed and may not be asked for yet.
    _unasked: dict[str, None] = Factory(dict)
    #: Services whose instances have changed, and the call that looks at them.
    _dirty: dict[str, None] = Factory(dict)
    _call: IDelayedCall | None = None
    _looking: LoopingCall | None = None
    #: The agent's, once an instance was seen there.
    _own_datacenter: str = ""
    #: The names as which mappings were to be registered last.
    _registered: list[tuple[Mapping, str]] = Factory(list)
    #: The problems that were told of, and whether there may be others now.
    _told: dict[Listen | None, dict[Problem, None]] = Factory(dict)
    _has_problems: bool = False
    #: Since when all lists are known and no further service has had its first answer,
    #: and how many had one then.
    _known_since: float | None = None
    _answered_once: int = 0

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._data_plane.keep_answers(self._by_query.keys)

    @property
    def queries(self) -> Iterable[ServiceQuery]:
        """What is asked for the sake of tags."""
        return self._by_query.keys()

    def of(self, mapping: Mapping) -> TagMapping | None:
        """The routes of a mapping; None if they are no tags."""
        return self._mappings.get(mapping.listen) if mapping.tags.is_on else None

    def all(self) -> list[TagMapping]:
        """All mappings whose routes are tags."""
        return list(self._mappings.values())

    def replace(self, mappings: Iterable[Mapping]) -> None:
        """Serve these mappings' tags, at the start and after a reload."""
        wanted = {each.listen: each for each in mappings if each.tags.is_on}
        kept = dict[Listen | None, TagMapping]()
        for listen, mapping in wanted.items():
            known = self._mappings.get(listen)
            if known is None:
                seconds = self._reactor.seconds
                known = TagMapping(mapping, seconds, self._datacenter(mapping))
            elif known.mapping != mapping:
                known = known.altered(mapping, self._datacenter(mapping))
            kept[listen] = known
        self._mappings = kept
        self._told = {k: v for k, v in self._told.items() if k in kept}
        self._known_since, self._answered_once = None, 0
        self._watch_lists()
        self._watch_keys()
        self._ask()
        self._dirty.update(dict.fromkeys(self._services))
        self._listen()
        self._soon()

    def why_closed(self, row: Mapping) -> str:
        """Why requests for a row get 503 whatever instances there are, if they do."""
        known = self._mappings.get(row.listen) if row.route else None
        return "" if known is None else known.closed.get(row.route, "")

    @property
    def rows(self) -> set[Mapping]:
        """The rows that are served at present."""
        return {row for each in self._mappings.values() for row in each.rows}

    def served_beside(self, mappings: Iterable[Mapping]) -> list[Mapping]:
        """What is served for the sake of tags beside these mappings of a new
        configuration.
        """
        mappings = list(mappings)
        listens = {each.listen for each in mappings}
        has_tags = any(each.tags.tcp_listeners for each in mappings if each.tags.is_on)
        if self.listeners is None or not has_tags:
            return []
        return [each for each in self.listeners.mappings if each.listen not in listens]

    @property
    def registered_as(self) -> list[tuple[Mapping, str]]:
        """The names as which tags have mappings registered in Consul."""
        return [
            (each.mapping, name)
            for each in self._mappings.values()
            for name in sorted(each.table.registered_as)
        ]

    def is_known(self, mapping: Mapping) -> bool:
        """Whether all routes of a mapping are known, if they are tags."""
        known = self.of(mapping)
        return known is None or known.is_complete

    def error(self, mapping: Mapping) -> str:
        """Why Consul does not list services for a mapping; empty if it does."""
        lists = (self._lists.get(each) for each in mapping.dc or ("",))
        return "; ".join(each.error for each in lists if each and each.error)

    def _datacenter(self, mapping: Mapping) -> str:
        """What replaces ``$DC``: the datacenter that is asked first."""
        return mapping.dc[0] if mapping.dc else self._own_datacenter

    def add(self, mapping: Mapping) -> None:
        """Serve the tags of one more mapping."""
        if mapping.tags.is_on:
            others = [each.mapping for each in self._mappings.values()]
            self.replace([*others, mapping])

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client, if it asks otherwise than the last one."""
        if client.fingerprint != self._client.fingerprint:
            self._client = client
            for each in self._lists.values():
                each.use_client(client)
            for keys in self._keys.values():
                keys.use_client(client)
            for fleet in self._fleets.values():
                fleet.use_client(client)

    def on_change(self, query: ServiceQuery) -> None:
        """Consul has answered a query."""
        service = self._by_query.get(query)
        if service is not None:
            self._dirty[service] = None
            self._soon()

    def startService(self) -> None:
        super().startService()
        self._looking = repeat(self._reactor, _LOOK, self._look)
        self._soon()

    def stopService(self) -> Any:
        if self._looking is not None:
            self._looking.stop()
            self._looking = None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self.listeners is not None:
            self.listeners.stop()
        for each in self._snapshots.values():
            each.stop()
        return super().stopService()

    def _watch_lists(self) -> None:
        mappings = [each.mapping for each in self._mappings.values()]
        prefixes = frozenset(each.tags.prefix for each in mappings)
        datacenters = {dc for each in mappings for dc in each.dc or ("",)}
        for gone in list(self._lists):
            if gone not in datacenters or prefixes != self._prefixes:
                self._lists.pop(gone).disownServiceParent()
                self._listed_before.pop(gone, None)
        self._prefixes = prefixes
        for datacenter in sorted(datacenters - self._lists.keys()):
            watch = tagged_services(
                self._reactor,
                self._client,
                self._chance,
                datacenter,
                prefixes,
                partial(self._on_list, datacenter),
                partial(self._answered, datacenter),
            )
            self._lists[datacenter] = watch
            watch.setServiceParent(self)
        self._keep_lists()

    def _watch_keys(self) -> None:
        """Watch the keys whose commands alter routes."""
        wanted = {each.mapping.tags.overrides for each in self._mappings.values()}
        for gone in self._keys.keys() - wanted:
            self._keys.pop(gone).disownServiceParent()
        for prefix in sorted(wanted - self._keys.keys() - {""}):
            watch = self._keys[prefix] = key_watch(
                self._reactor, self._client, self._chance, prefix, self._on_keys
            )
            watch.setServiceParent(self)
        for mapping in self._mappings.values():
            if not mapping.is_complete:
                self._use_commands(mapping)

    def _on_keys(self, prefix: str, keys: Keys) -> None:
        for mapping in self._mappings.values():
            if mapping.mapping.tags.overrides == prefix:
                self._use_commands(mapping)
        self._soon()

    def _use_commands(self, mapping: TagMapping) -> None:
        watch = self._keys.get(mapping.mapping.tags.overrides)
        keys = () if watch is None else watch.known or ()
        texts = [(each.key, each.value.decode("utf-8", "replace")) for each in keys]
        self._pass_on(mapping, mapping.use_commands(texts))

    def _keep_lists(self) -> None:
        """Keep the lists on disk, and begin with what is kept there."""
        for each in self._snapshots.values():
            each.stop()
        self._snapshots.clear()
        name = f"{TAGS} {' '.join(sorted(self._prefixes))}"
        for datacenter, watch in self._lists.items():
            snapshot = self._watches.list_snapshot(name, datacenter)
            if snapshot is not None:
                self._snapshots[datacenter] = snapshot
                if watch.known is None:
                    snapshot.read(partial(self._recall, datacenter, snapshot))

    def _recall(self, datacenter: str, snapshot: Snapshot, kept: Kept) -> None:
        """Begin with a list that was kept, unless Consul has answered already."""
        watch = self._lists.get(datacenter)
        if watch is None or watch.known is not None:
            return
        try:
            names = json.loads(kept.body)
            if not all(isinstance(each, str) for each in names):
                raise ValueError("it is no list of names")
        except (ValueError, TypeError) as error:
            snapshot.set_aside(error)
            return
        self._recalled[datacenter] = frozenset(names)
        self._ask()

    def _on_list(self, datacenter: str, services: Services) -> None:
        """Consul has another list of services, or other tags of them."""
        self._recalled.pop(datacenter, None)
        before = self._listed_before.get(datacenter, {})
        changed = [
            each
            for each in sorted(before.keys() | services.keys())
            if before.get(each) != services.get(each)
        ]
        self._listed_before[datacenter] = services
        fleet = self._fleets.get(datacenter)
        if fleet is not None:
            fleet.ask(changed)
        if datacenter in self._snapshots:
            self._snapshots[datacenter].keep(json.dumps(sorted(services)).encode())
        self._unasked.update(dict.fromkeys(n for n in changed if n in services))
        self._soon()

    def _names(self, datacenter: str) -> Collection[str] | None:
        """The services with routes; None if they are not known."""
        known = self._lists[datacenter].known
        return self._recalled.get(datacenter) if known is None else known

    @property
    def _listed(self) -> dict[str, None]:
        """The services that carry such tags now."""
        known = (self._names(each) or () for each in self._lists)
        return dict.fromkeys(name for names in known for name in sorted(names))

    def _ask(self) -> None:
        """Ask for the instances of the services that are listed, in slices."""
        self._unasked.update(self._listed)
        self._soon()

    def _ask_for(self, service: str) -> None:
        queries = tuple(
            dict.fromkeys(
                query
                for mapping in self._mappings.values()
                for query in mapping.queries(service)
            )
        )
        before = self._services.get(service, ())
        if queries != before:
            self._services[service] = queries
            self._by_query.update(dict.fromkeys(queries, service))
            self._follow(queries)
            self._leave(set(before).difference(queries))
            self._dirty[service] = None

    def _follow(self, queries: Iterable[ServiceQuery]) -> None:
        """Ask for these: the first by blocking queries, more of them as a fleet."""
        for query in queries:
            # However few are left of them: to count all for each would take long.
            is_many = len(self._by_query) > MOST_BLOCKING or (
                self._watches.blocking >= MOST_BLOCKING
            )
            fleet = self._fleet(query.datacenter) if is_many else None
            self._watches.ask([query], fleet)

    def _fleet(self, datacenter: str) -> Fleet:
        found = self._fleets.get(datacenter)
        if found is None:
            found = self._fleets[datacenter] = Fleet(
                self._reactor, self._client, self._chance, datacenter
            )
            found.setServiceParent(self)
        return found

    def _answered(self, datacenter: str) -> None:
        """The list of services was answered: if it is news the fleet looks closer."""
        watch, fleet = self._lists.get(datacenter), self._fleets.get(datacenter)
        if watch is None:
            return
        before, index = self._indexes.get(datacenter, 0), watch.loop.cursor.index
        self._indexes[datacenter] = index
        if fleet is None or index == before:
            return
        if index < before:
            fleet.look_at_all()  # it is another Consul, or has lost its state
        fleet.on_registrations()

    def _leave(self, queries: Iterable[ServiceQuery]) -> None:
        """Ask these no more, but for those that a mapping asks."""
        for query in queries:
            self._by_query.pop(query, None)
        self._data_plane.forget(self._watches.leave(queries))

    def _soon(self) -> None:
        is_due = self._dirty or self._unasked
        if self._call is None and is_due and self.running:
            self._call = self._reactor.callLater(0, self._work)

    def _work(self) -> None:
        """Follow the changes of services, as many as a slice of time allows."""
        self._call = None
        until = self._reactor.seconds() + _SLICE
        while self._unasked and self._reactor.seconds() < until:
            service = next(iter(self._unasked))
            del self._unasked[service]
            self._ask_for(service)
        while self._dirty and self._reactor.seconds() < until:
            service = next(iter(self._dirty))
            del self._dirty[service]
            try:
                self._update(service)
            except Exception:  # the tags of one service harm no other
                self._log.failure(
                    "a bug in lbconsul: the routes of {service} are not updated",
                    service=service,
                )
        self._soon()
        if not self._dirty and not self._unasked:
            self._complete()
            self._register()
            self._tell_all()

    def _update(self, service: str) -> None:
        registry = self._data_plane.registry
        self._place(service)
        for each in tuple(self._mappings.values()):
            queries = each.queries(service)
            if not any(map(registry.answered, queries)):
                continue
            known = [one for query in queries for one in registry.known(query)]
            if known and not (self._own_datacenter or each.mapping.dc):
                self._learn_datacenter(known[0].identity.datacenter)
                each = self._mappings[each.mapping.listen]
            self._pass_on(each, each.update(service, known, registry.drained))

    def _place(self, service: str) -> None:
        """Tell fleets on which nodes a service has instances."""
        known = self._data_plane.registry.known
        for datacenter, fleet in self._fleets.items():
            identities = [
                instance.identity
                for query in self._services.get(service, ())
                if query.datacenter == datacenter
                for instance in known(query)
            ]
            fleet.place(service, [(each.node, each.service_id) for each in identities])

    def _learn_datacenter(self, name: str) -> None:
        """The agent is in this datacenter: read tags with ``$DC`` again."""
        self._own_datacenter = name
        for listen, each in self._mappings.items():
            if not each.mapping.dc:
                newer = self._mappings[listen] = each.altered(each.mapping, name)
                self._use_commands(newer)
        self._dirty.update(dict.fromkeys(self._services))

    def _pass_on(self, mapping: TagMapping, change: TableChange) -> None:
        rows = mapping.follow(change)
        if rows is not None:
            addresses = [row for row in rows.put if row.when_empty.is_address]
            self._watches.ask(queries_of(addresses))
            self._data_plane.amend(rows)
        if any(key.port for key in change.routes):
            self._listen()
        self._has_problems = self._has_problems or bool(change.new or change.gone)

    def _listen(self) -> None:
        """Listen for the TCP routes that there are."""
        listeners = self.listeners
        if listeners is not None and self.running:
            listeners.use(each for one in self._mappings.values() for each in one.tcp)

    def _register(self) -> None:
        """Have mappings registered as tags say."""
        names = self.registered_as
        if names != self._registered:
            self._registered = names
            self._on_names()

    def _tell_all(self) -> None:
        """Tell of what is wrong, and no more, since that was told last."""
        if not self._has_problems:
            return
        self._has_problems = False
        for listen, each in self._mappings.items():
            if not each.is_complete:  # much is odd while routes come one by one
                self._has_problems = True
                continue
            now, before = dict.fromkeys(each.problems), self._told.get(listen, {})
            self._told[listen] = now
            new = [problem for problem in now if problem not in before]
            gone = [problem for problem in before if problem not in now]
            self._tell(each, EventKind.BAD_TAG, new)
            self._tell(each, EventKind.GOOD_TAG, gone)

    def _tell(self, of: TagMapping, kind: EventKind, problems: list[Problem]) -> None:
        """Tell of problems: each of the first ones, and how many others there are."""
        mapping, is_bad = str(of.mapping), kind is EventKind.BAD_TAG
        texts = [str(each) for each in problems[:MOST_TOLD]]
        if len(problems) > MOST_TOLD:
            texts.append(
                f"{len(problems) - MOST_TOLD} more: lbconsul routes shows them"
            )
        for text in texts:
            self._observer.on_event(RouteEvent(kind=kind, mapping=mapping, reason=text))
            if is_bad:
                self._log.warn("{mapping}: {text}", mapping=mapping, text=text)
            else:
                self._log.info("{mapping}: no more: {text}", mapping=mapping, text=text)

    def _complete(self) -> None:
        """Once all is known, a request without a route gets 404."""
        rest = [each for each in self._mappings.values() if not each.is_complete]
        if not rest or not self._is_known():
            return
        for each in rest:
            self._data_plane.amend(each.complete())
            self._listen()
            self._log.info(
                "{mapping}: {count} routes of {services} services",
                mapping=str(each.mapping),
                count=len(each.table.routes),
                services=len(self._services),
            )

    def _is_known(self) -> bool:
        lists = map(self._names, self._lists)
        keys = (each.known for each in self._keys.values())
        if self._unasked or any(known is None for known in chain(lists, keys)):
            return False
        now, answered = self._reactor.seconds(), self._data_plane.registry.answered
        count = sum(map(answered, self._by_query))
        # Thousands of services take a while; what Consul never answers ends the wait.
        if self._known_since is None or count > self._answered_once:
            self._known_since, self._answered_once = now, count
        is_all = count == len(self._by_query)
        return is_all or now - self._known_since >= _PATIENCE

    def _look(self) -> None:
        """Forget what was gone for long enough."""
        for mapping in self._mappings.values():
            change = mapping.expire()
            if change is not None:
                self._pass_on(mapping, change)
        self._forget()
        self._complete()
        self._tell_all()

    def _forget(self) -> None:
        """Ask no more for services that are not listed, and have no instance."""
        listed, registry = self._listed, self._data_plane.registry
        for service in [each for each in self._services if each not in listed]:
            queries = self._services[service]
            if not any(registry.known(each) for each in queries):
                del self._services[service]
                self._place(service)
                self._leave(queries)
