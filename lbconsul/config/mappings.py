"""Builds mappings and their routes, from what the sources say."""

from collections import defaultdict
from collections.abc import Container, Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import evolve

from lbconsul.config import conflicts, grammar, route_texts, validate
from lbconsul.config.listen import Listen
from lbconsul.config.mapping_options import (
    LISTEN_OPTIONS,
    MAPPING_OPTIONS,
    with_options,
)
from lbconsul.config.model import Mapping
from lbconsul.config.sources import RawMapping, Source, SourcedText
from lbconsul.config.split import Sticky
from lbconsul.config.splits import with_parts
from lbconsul.config.tag_routing import TAGS, TagRouting
from lbconsul.config.values import service as service_name
from lbconsul.text import listed

#: By pattern, in the order in which they were given.
_Routes = dict[str, RawMapping]


def build_mappings(
    sources: Iterable[Source], defaults: AbstractMapping[str, Any]
) -> list[tuple[SourcedText, Mapping]]:
    """The mappings of all sources with their routes, each with its text.

    The weakest source comes first.  A mapping of a stronger one replaces that of a
    weaker one at the same address, with its routes; a route of a stronger one replaces
    that of a weaker one for the same clients.  `defaults` are values of options.

    :raises ConfigError: a mapping or a route is invalid.
    """
    kept = list[tuple[RawMapping, Mapping]]()
    kept_routes = list[list[RawMapping]]()
    for source in sources:
        given = [(each, _mapping(each, defaults)) for each in source.mappings]
        taken = {mapping.listen for _, mapping in given}
        kept = [each for each in kept if each[1].listen not in taken] + given
        kept_routes = [
            [each for each in weaker if _listen(each) not in taken]
            for weaker in kept_routes
        ]
        kept_routes.append(list(source.routes))
    routes = _all_routes(kept_routes, [mapping for _, mapping in kept])
    built = [_with_routes(*each, routes.get(each[1].listen, {})) for each in kept]
    validate.reject_fallback_loops([row for each in built for row in each])
    return [
        (said, evolve(mapping, routes=tuple(route for _, route in theirs)))
        for (said, mapping), *theirs in built
    ]


def _mapping(each: RawMapping, defaults: AbstractMapping[str, Any]) -> Mapping:
    values = {**defaults, **_values(each)}
    listen = _listen(each)
    if each.service == TAGS:
        mapping = Mapping("", listen, tags=TagRouting(is_on=True))
    else:
        mapping = Mapping(_service(each), listen)
    return conflicts.resolved(each, with_options(mapping, values))


def _values(each: RawMapping) -> dict[str, Any]:
    """The values of the options that a mapping or route sets itself."""
    values = {}
    for key, text in each.options.items():
        if key not in MAPPING_OPTIONS:
            raise each.said.wrong(grammar.unknown("option", key, MAPPING_OPTIONS))
        try:
            values[key] = MAPPING_OPTIONS[key].parse(text)
        except ValueError as error:
            raise each.wrong(key, str(error)) from None
    return values


def _listen(each: RawMapping) -> Listen:
    try:
        return grammar.listen_address(each.listen)
    except ValueError as error:
        raise each.said.wrong(str(error)) from None


def _service(each: RawMapping) -> str:
    if each.service is None:
        return ""
    try:
        return service_name(each.service)
    except ValueError as error:
        raise each.said.wrong(str(error)) from None


def _all_routes(
    sources: Iterable[list[RawMapping]], mappings: list[Mapping]
) -> dict[Listen | None, _Routes]:
    """The routes of all sources, of which the weakest comes first, by address."""
    modes = {each.listen: each.mode for each in mappings}
    routes = dict[Listen | None, _Routes]()
    for given in sources:
        for each in given:
            _refuse_stray(each, mappings, modes)
        for listen, theirs in _routes(given, modes).items():
            routes.setdefault(listen, {}).update(theirs)
    return routes


def _routes(
    given: Iterable[RawMapping], modes: AbstractMapping[Listen | None, str]
) -> dict[Listen | None, _Routes]:
    """The routes of one source, by address; `modes` are those of the mappings there.

    :raises ConfigError: two of them are for the same clients.
    """
    routes = defaultdict[Listen | None, _Routes](dict)
    for each in given:
        listen = _listen(each)
        others, pattern = routes[listen], route_texts.pattern(each, modes[listen])
        if pattern in others:
            by = others[pattern].said
            raise each.said.wrong(f"{pattern} is taken by {by.where} {by.text}")
        others[pattern] = each
    return routes


def _refuse_stray(
    route: RawMapping, mappings: Iterable[Mapping], known: Container[Listen | None]
) -> None:
    """Refuse a route at an address where no mapping listens."""
    listen = _listen(route)
    if listen not in known:
        names = listed(map(str, mappings))
        raise route.said.wrong(
            f"no mapping listens on {listen}; the mappings are {names}"
        )


def _with_routes(
    each: RawMapping, mapping: Mapping, routes: _Routes
) -> list[tuple[SourcedText, Mapping]]:
    """A mapping and its routes, validated, each with its text."""
    if routes:
        [first, *_] = routes.values()
        conflicts.refuse_routes(first, mapping)
        if mapping.mode == "http":
            route_texts.refuse_ties(routes)
    elif not (
        mapping.service or mapping.tags.is_on or conflicts.is_redirecting(mapping)
    ):
        raise each.said.wrong(
            "- is no service, and there is no route: give it one, such as"
            f" --route {each.listen}:api.example.com=api"
        )
    theirs = [
        (route, _route(route, pattern, mapping)) for pattern, route in routes.items()
    ]
    conflicts.refuse_idle_options(each, [mapping, *(row for _, row in theirs)])
    for route, row in theirs:
        conflicts.refuse_idle_options(route, [row])
    return [
        (raw.said, with_parts(raw, validate.validated(raw, row)))
        for raw, row in ((each, mapping), *theirs)
    ]


def _route(each: RawMapping, pattern: str, mapping: Mapping) -> Mapping:
    """A route with its mapping's options, but for those that it sets itself.

    What limits the clients of the whole address is not counted for each route again.
    """
    for key in each.options:
        if key in LISTEN_OPTIONS:
            raise each.wrong(
                key, f"is for all clients of {mapping.listen}; give it to the mapping"
            )
    limits = evolve(mapping.limits, connections=0, connections_per_client=0)
    inherited = evolve(
        mapping,
        service=_service(each),
        route=pattern,
        allow=(),
        deny=(),
        limits=limits,
        split=(),  # its parts may be of the mapping's service alone
        split_sticky=Sticky(),
    )
    row = with_options(inherited, _values(route_texts.without_conditions(each)))
    if "rate-limit" in each.options:  # it counts by itself
        rates = tuple(evolve(one, route=pattern) for one in row.limits.rates)
        row = evolve(row, limits=evolve(row.limits, rates=rates))
    if not (row.service or conflicts.is_redirecting(row)):
        raise each.said.wrong(
            "a route needs a service; with - it needs redirect= or redirect-https=on,"
            " and mode=http"
        )
    return row
