"""What the tags of one service's instances say: which routes lead to it.  Pure."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import Factory, define, evolve, frozen

from lbconsul.config.split import Selection, Trait
from lbconsul.tags.model import GroupKey, Identity, Problem, TagInstance
from lbconsul.tags.tag import (
    BadTag,
    RouteKey,
    RouteTag,
    TagRules,
    is_route_tag,
    parse,
)


@frozen
class Target:
    """One instance at one route, or what a command adds there."""

    #: Its group, but for what commands say.
    group: GroupKey
    #: None: a command has added it.
    instance: TagInstance | None
    #: Its tags that are no routes.
    tags: frozenset[str]
    #: What is wrong with its tag: the route is known, and it gets nothing.
    closed: str = ""
    address: str = ""
    #: The fixed share of this one; 0: none.
    fixed: float = 0.0


@frozen
class _ReadTags:
    """What a list of tags says, whatever instance has it."""

    #: Each route with its group, and why it is closed, if it is.
    routes: tuple[tuple[RouteKey, GroupKey, str], ...]
    #: Tags, what is wrong with them, and whether that is a warning.
    problems: tuple[tuple[str, str, bool], ...]
    #: Tags that are no routes.
    others: frozenset[str]
    #: Tags that others replace, each with that.
    lost: tuple[tuple[str, str], ...] = ()


@define(eq=False)
class ServiceTargets:
    """The instances of one service, and the routes that lead to them."""

    name: str
    instances: Mapping[Identity, TagInstance] = Factory(dict)
    targets: dict[RouteKey, tuple[Target, ...]] = Factory(dict)
    problems: tuple[Problem, ...] = ()
    _read: dict[tuple[str, ...], _ReadTags] = Factory(dict)

    def replaced(
        self, instances: Iterable[TagInstance], rules: TagRules
    ) -> "ServiceTargets":
        """The same service with these instances."""
        new = ServiceTargets(self.name, {each.identity: each for each in instances})
        targets = dict[RouteKey, list[Target]]()
        problems = list[Problem]()
        for identity, each in new.instances.items():
            read = new._read.get(each.tags)
            if read is None:
                read = self._read.get(each.tags) or _read(self.name, each.tags, rules)
                new._read[each.tags] = read
            for key, group, closed in read.routes:
                fixed = group.options.weight
                target = Target(group, each, read.others, closed, each.address, fixed)
                targets.setdefault(key, []).append(target)
            problems += [Problem(self.name, identity, *why) for why in read.problems]
        lacking = _lacking(new._read.values())
        new.targets = {
            key: tuple(_excluded(several, lacking) if lacking else several)
            for key, several in targets.items()
        }
        new.problems = tuple(problems)
        return new


def _lacking(read: Iterable[_ReadTags]) -> dict[str, tuple[Trait, ...]]:
    """For each tag that loses to others, what its instances must not have."""
    found = dict[str, tuple[Trait, ...]]()
    for each in read:
        for loser, winner in each.lost:
            found[loser] = (*found.get(loser, ()), Trait(winner, is_exact=True))
    return found


def _excluded(
    targets: Iterable[Target], lacking: Mapping[str, tuple[Trait, ...]]
) -> Iterator[Target]:
    for each in targets:
        selection = each.group.selection
        traits = lacking.get(selection.having[0].tag) if selection.having else None
        if traits is None:
            yield each
        else:
            without = evolve(selection, lacking=tuple(sorted(set(traits), key=str)))
            yield evolve(each, group=evolve(each.group, selection=without))


def _read(service: str, tags: tuple[str, ...], rules: TagRules) -> _ReadTags:
    routes = list[tuple[RouteKey, GroupKey, str]]()
    problems = list[tuple[str, str, bool]]()
    parsed = list[tuple[str, RouteTag]]()
    for tag in dict.fromkeys(tags):
        if not is_route_tag(tag, rules):
            continue
        try:
            found = parse(tag, rules)
        except BadTag as error:
            problems.append((tag, str(error), False))
            if error.key is not None:
                routes.append((error.key, GroupKey(service), str(error)))
        else:
            parsed.append((tag, found))
            problems += [(tag, why, True) for why in found.odd]
    lost = dict(_lost(parsed, rules))
    for tag, found in parsed:
        if tag in lost:
            why = f"{lost[tag]!r} is for the same route, and holds in its place"
            problems.append((tag, why, True))
        else:
            routes.append((found.key, _group(service, tag, found, rules), ""))
    others = frozenset(
        word.strip()
        for tag in tags
        if not is_route_tag(tag, rules)
        for word in tag.split(",")
    )
    return _ReadTags(tuple(routes), tuple(problems), others, tuple(lost.items()))


def _lost(
    parsed: Iterable[tuple[str, RouteTag]], rules: TagRules
) -> Iterator[tuple[str, str]]:
    """The tags of one instance that another one replaces, each with that.

    fabio keeps one target of an instance for each route and weight: that whose options
    come last in byte order.
    """
    winners = dict[tuple[RouteKey, float], str]()

    def options(tag: str) -> list[str]:
        words = tag.strip().removeprefix(rules.prefix).split()[1:]
        return [each for each in words if not each.startswith(("proto=", "weight="))]

    for tag, found in parsed:
        place = found.key, found.options.weight
        other = winners.get(place)
        if other is None:
            winners[place] = tag
            continue
        loser, winner = sorted((tag, other), key=options)
        winners[place] = winner
        yield loser, winner


def _group(service: str, tag: str, found: RouteTag, rules: TagRules) -> GroupKey:
    words = [f"{rules.prefix}{found.key}", str(found.options)]
    return GroupKey(
        service,
        found.options,
        Selection((Trait(tag, is_exact=True),)),
        "" if tag == " ".join(filter(None, words)) else tag,
    )
