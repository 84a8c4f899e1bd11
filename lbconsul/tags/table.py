"""The table of routes that the tags of all services make.  Pure.

A route is known while an instance with its tag is registered in Consul, whatever its
checks say: without a usable one requests for it get 503, and no shorter route takes
them.  If the last instance is deregistered the route is held for a time: a service that
is replaced by deregistering and registering it stays known.  An instance that is
registered anew without the tag ends the route at once.  So does a command in Consul's
KV that removes its targets.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain
from typing import TypeVar

from attrs import Factory, define, frozen

from lbconsul.steps import Steps, finish
from lbconsul.tags.boundaries import Boundaries
from lbconsul.tags.building import Built, CommandIndex, build
from lbconsul.tags.model import (
    GroupKey,
    Identity,
    Problem,
    TableChange,
    TagInstance,
    TagRoute,
)
from lbconsul.tags.overrides import Command, Verb
from lbconsul.tags.problems import Changing, Problems, idle, met
from lbconsul.tags.tag import RouteKey, TagRules
from lbconsul.tags.targets import ServiceTargets

_Value = TypeVar("_Value")

#: How long a route is held, in seconds.
HOLD = 300.0


@frozen
class _Held:
    """What a service leaves behind at a route."""

    until: float
    groups: tuple[GroupKey, ...]


@define(eq=False)
class TagTable:
    """The routes of all services' tags.

    A change of one service costs what that service has, and what the others have at the
    same routes.
    """

    rules: TagRules = TagRules()
    #: How long a route is known whose last instance was deregistered, in seconds.
    hold: float = HOLD
    #: All routes that are known.
    routes: dict[RouteKey, TagRoute] = Factory(dict)
    _services: dict[str, ServiceTargets] = Factory(dict)
    #: The services with a target for a route, by route.
    _at: dict[RouteKey, dict[str, None]] = Factory(dict)
    #: By route and service.
    _held: dict[RouteKey, dict[str, _Held]] = Factory(dict)
    #: When to look at what is held, which may be there no more.
    _expiry: list[tuple[float, RouteKey, str]] = Factory(list)
    _commands: CommandIndex = Factory(CommandIndex)
    #: The routes at which a command that gives a weight has a target, by its number.
    _weighed: dict[int, set[RouteKey]] = Factory(dict)
    _problems: Problems = Factory(Problems)
    _boundaries: Boundaries = Factory(Boundaries)
    #: How many groups have a name in ``register=``.
    _registers: Counter[str] = Factory(Counter)

    @property
    def problems(self) -> Iterator[Problem]:
        """All problems that there are."""
        return iter(self._problems)

    @property
    def services(self) -> Iterable[str]:
        """The services that have an instance."""
        return self._services.keys()

    @property
    def registered_as(self) -> frozenset[str]:
        """The names as which the gateway is to register, by ``register=``."""
        return frozenset(self._registers)

    @property
    def expires(self) -> float | None:
        """When to call `expire`; None if nothing is held."""
        return self._expiry[0][0] if self._expiry else None

    def update(
        self, service: str, instances: Iterable[TagInstance], now: float
    ) -> TableChange:
        """A service has these instances, all that are registered, at the time `now`.

        Without an instance it is deregistered.
        """
        old = self._services.get(service) or ServiceTargets(service)
        new = old.replaced(instances, self.rules)
        concerned = [
            key
            for key in old.targets.keys() | new.targets.keys()
            if old.targets.get(key) != new.targets.get(key)
        ]
        gone = old.instances.keys() - new.instances.keys()
        for key in concerned:
            self._turn(key, old, new, gone, now)
        if new.instances:
            self._services[service] = new
        else:
            self._services.pop(service, None)
        change = Changing()
        self._problems.note(("service", service), new.problems, change)
        for key in sorted(concerned):
            self._rebuild(key, change)
        return self._problems.finished(change)

    def _turn(
        self,
        key: RouteKey,
        old: ServiceTargets,
        new: ServiceTargets,
        gone: Container[Identity],
        now: float,
    ) -> None:
        """Note that the service has other targets at a route."""
        service = new.name
        if key in new.targets:
            self._at.setdefault(key, {})[service] = None
            _discard(self._held, key, service)
            return
        _discard(self._at, key, service)
        left = [each.instance for each in old.targets[key] if each.instance is not None]
        if self.hold and any(each.identity in gone for each in left):
            route, until = self.routes.get(key), now + self.hold
            groups = () if route is None else route.groups
            keys = tuple(each.key for each in groups if each.key.service == service)
            self._held.setdefault(key, {})[service] = _Held(until, keys)
            heappush(self._expiry, (until, key, service))

    def expire(self, now: float) -> TableChange:
        """Let go of the routes that were held long enough."""
        change = Changing()
        while self._expiry and self._expiry[0][0] <= now:
            until, key, service = heappop(self._expiry)
            held = self._held.get(key, {}).get(service)
            if held is not None and held.until == until:
                _discard(self._held, key, service)
                self._rebuild(key, change)
        return self._problems.finished(change)

    def use_commands(
        self, commands: tuple[Command, ...], problems: tuple[Problem, ...] = ()
    ) -> TableChange:
        """As `using_commands`, in one step."""
        return finish(self.using_commands(commands, problems))

    def using_commands(
        self, commands: tuple[Command, ...], problems: tuple[Problem, ...] = ()
    ) -> Steps[TableChange]:
        """Have these commands act on the routes, as `parse_commands` returns them.

        The table may be changed between the steps.
        """
        change = Changing()
        for number in range(len(self._commands.commands)):
            self._problems.note(("command", number), (), change)
        concerned = self._concerned({*self._commands.commands, *commands})
        self._commands, self._weighed = CommandIndex(commands), {}
        self._problems.note(("commands",), problems, change)
        for number, each in enumerate(commands):
            if each.verb is Verb.WEIGHT:
                self._problems.note(("command", number), (idle(each),), change)
        for key in sorted(concerned):
            self._rebuild(key, change)
            yield True
        return self._problems.finished(change)

    def _concerned(self, commands: Iterable[Command]) -> set[RouteKey]:
        """The routes that commands are about: to build all of them takes long."""
        found = set[RouteKey]()
        for each in commands:
            if each.path is not None:
                key = RouteKey(each.host, each.path, False, each.port)
                found |= {key, key._replace(is_bounded=True)}
            elif each.service:
                known = self._services.get(each.service)
                found |= set() if known is None else known.targets.keys()
                found |= {key for key, by in self._held.items() if each.service in by}
            else:
                found |= self._at.keys() | self._held.keys()
        return found

    def _rebuild(self, key: RouteKey, change: Changing) -> None:
        """Build a route of what there is now."""
        targets = chain.from_iterable(
            self._services[each].targets[key] for each in self._at.get(key, ())
        )
        held = self._held.get(key, {})
        groups = {service: each.groups for service, each in held.items()}
        built = build(key, targets, groups, self._commands)
        self._note_idle(key, built, change)
        before, route = self.routes.get(key), built.route
        if route == before:
            return
        change.routes[key] = route
        self._registers += _registers(route)
        self._registers -= _registers(before)
        if route is None:
            del self.routes[key]
        else:
            self.routes[key] = route
        if (route is None or before is None) and not key.port:
            self._meet(key, change)

    def _note_idle(self, key: RouteKey, built: Built, change: Changing) -> None:
        """Note which commands have no target, at no route."""
        for number, has_target in built.weighed.items():
            keys = self._weighed.setdefault(number, set())
            if has_target:
                keys.add(key)
            else:
                keys.discard(key)
            command = self._commands.commands[number]
            self._problems.note(
                ("command", number), () if keys else (idle(command),), change
            )

    def _meet(self, key: RouteKey, change: Changing) -> None:
        """Look which routes meet others within a segment, now that one came or went."""
        if self.rules.matcher == "glob":
            return
        if key in self.routes:
            self._boundaries.add(key)
        else:
            self._boundaries.drop(key)
        for each in self._boundaries.concerned(key):
            longer = self._boundaries.meeting(each) if each in self.routes else []
            problems = (met(each, longer),) if longer else ()
            self._problems.note(("boundary", each), problems, change)


def _discard(
    table: dict[RouteKey, dict[str, _Value]], key: RouteKey, service: str
) -> None:
    """Remove a service's entry at a route."""
    services = table.get(key, {})
    services.pop(service, None)
    if not services:
        table.pop(key, None)


def _registers(route: TagRoute | None) -> Counter[str]:
    groups = () if route is None else route.groups
    names = (each.key.options.register for each in groups)
    return Counter(name for name in names if name)
