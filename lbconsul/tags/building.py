"""Builds one route of the targets that tags and commands give it.  Pure."""

from collections.abc import Iterable, Mapping
from itertools import chain

from attrs import define, evolve, field

from lbconsul.config.split import Selection, Trait
from lbconsul.tags.model import GroupKey, TagRoute, TargetGroup
from lbconsul.tags.overrides import Command, Verb
from lbconsul.tags.shares import Weighed, shares
from lbconsul.tags.tag import RouteKey
from lbconsul.tags.targets import Target


@define(eq=False)
class _Entry:
    """A target while commands act on it."""

    target: Target
    group: GroupKey
    fixed: float

    def is_of(self, command: Command) -> bool:
        """Whether the target is one of a command's, if the command is about its route.

        The group notes what tells it from the targets for which the answer is another.
        """
        target = self.target
        if command.service not in ("", target.group.service):
            return False
        found, selection = True, self.group.selection
        if command.address and target.address != command.address:
            found = False
            selection = _with(selection, not_at=command.address)
        for tag in command.tags:
            trait = Trait(tag, is_exact=True)
            if tag not in target.tags:
                found = False
                selection = _with(selection, lacking=trait)
                break
            selection = _with(selection, having=trait)
        if target.instance is not None:
            self.group = evolve(self.group, selection=selection)
        return found


def _with(selection: Selection, **added: object) -> Selection:
    """The selection with one more element of a field, unless it has that."""
    [(name, value)] = added.items()
    known = getattr(selection, name)
    return selection if value in known else evolve(selection, **{name: (*known, value)})


@define(eq=False)
class CommandIndex:
    """Commands, by the routes that they are about."""

    commands: tuple[Command, ...] = ()
    #: The numbers of those about one place, and about all.
    _by_place: dict[tuple[str, str | None, int], list[int]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._by_place = {}
        for number, each in enumerate(self.commands):
            place = each.host, each.path, each.port
            self._by_place.setdefault(place, []).append(number)

    def at(self, key: RouteKey) -> list[int]:
        """The numbers of the commands about a route, in their order."""
        if not self.commands:
            return []
        everywhere = self._by_place.get(("", None, 0), ())
        here = self._by_place.get((key.host, key.path, key.port), ())
        return sorted(
            each for each in chain(everywhere, here) if self.commands[each].is_at(key)
        )


@define(eq=False)
class Built:
    """A route, and what commands did."""

    #: None: there is no such route.
    route: TagRoute | None
    #: The commands that give a weight, and whether they had a target here.
    weighed: dict[int, bool]


def build(
    key: RouteKey,
    targets: Iterable[Target],
    held: Mapping[str, Iterable[GroupKey]],
    index: CommandIndex,
) -> Built:
    """The route with these targets, and what services hold without an instance."""
    entries = [_Entry(each, each.group, each.fixed) for each in targets]
    held, weighed = dict(held), dict[int, bool]()
    for number in index.at(key):
        command = index.commands[number]
        if command.verb is Verb.ADD:
            _add(entries, command)
        elif command.verb is Verb.WEIGHT:
            weighed[number] = _weigh(entries, command)
        else:
            entries = [each for each in entries if not each.is_of(command)]
            if not command.tags and not command.address:
                held.pop(command.service, None)
    if not entries and not held:
        return Built(None, weighed)
    groups = _groups(entries, chain.from_iterable(held.values()))
    closed = "" if groups else _why_closed(entries)
    return Built(TagRoute(key, groups, closed), weighed)


def _why_closed(entries: Iterable[_Entry]) -> str:
    """What is wrong with the tags: the first reason, and how many others there are."""
    reasons = [*dict.fromkeys(each.target.closed for each in entries)]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


def _add(entries: list[_Entry], command: Command) -> None:
    group = GroupKey(command.service, command.options, address=command.address)
    target = Target(
        group,
        None,
        frozenset(command.tags),
        address=command.address,
        fixed=command.weight,
    )
    if all(each.target != target for each in entries):
        entries.append(_Entry(target, group, command.weight))


def _weigh(entries: list[_Entry], command: Command) -> bool:
    """Give the command's targets their share together; False if there is none."""
    found = [each for each in entries if each.is_of(command)]
    usable = sum(_is_usable(each.target) for each in found)
    for each in found:
        each.fixed = command.weight / max(1, usable)
    return bool(found)


def _is_usable(target: Target) -> bool:
    instance = target.instance
    if target.closed:
        return False
    return instance is None or (instance.usable and instance.weight > 0)


def _groups(
    entries: Iterable[_Entry], waiting: Iterable[GroupKey]
) -> tuple[TargetGroup, ...]:
    """The groups of these targets, and those of which there is no instance."""
    found = dict[GroupKey, list[_Entry]]()
    for key in waiting:
        found[key] = []
    for each in entries:
        if not each.target.closed:
            found.setdefault(each.group, []).append(each)
    keys = sorted(found, key=str) if len(found) > 1 else [*found]
    weighed = [_weighed(found[key]) for key in keys]
    return tuple(
        TargetGroup(key, len(found[key]), one.count, share)
        for key, one, share in zip(keys, weighed, shares(weighed), strict=True)
    )


def _weighed(entries: Iterable[_Entry]) -> Weighed:
    usable = [each for each in entries if _is_usable(each.target)]
    weight = sum(
        1 if each.target.instance is None else each.target.instance.weight
        for each in usable
    )
    return Weighed(usable[0].fixed if usable else 0.0, len(usable), weight)
