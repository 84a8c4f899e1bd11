"""Reads what a route says of the clients or requests that it takes."""

from collections import defaultdict
from collections.abc import Mapping

from attrs import evolve

from lbconsul.config.route_pattern import CONDITIONS, RoutePattern
from lbconsul.config.server_names import read_pattern
from lbconsul.config.sources import RawMapping


def pattern(route: RawMapping, mode: str) -> str:
    """The canonical text of a route's pattern, with its conditions.

    `mode` is its mapping's.

    :raises ConfigError: it is invalid, or is not for this mode.
    """
    methods, header = (route.options.get(each, "") for each in CONDITIONS)
    try:
        if mode == "http":
            return str(RoutePattern.read(route.pattern, methods, header))
    except ValueError as error:
        raise route.said.wrong(str(error)) from None
    for condition in CONDITIONS:
        if condition in route.options:
            raise route.wrong(condition, "works only with mode=http")
    if "/" in route.pattern:
        raise route.said.wrong(f"{route.pattern!r} has a path, which needs mode=http")
    try:
        return read_pattern(route.pattern)
    except ValueError as error:
        raise route.said.wrong(f"{route.pattern!r} {error}") from None


def without_conditions(route: RawMapping) -> RawMapping:
    """The route with the options alone that are a mapping's, too."""
    options = {k: text for k, text in route.options.items() if k not in CONDITIONS}
    return evolve(route, options=options)


def refuse_ties(routes: Mapping[str, RawMapping]) -> None:
    """Refuse routes of one mapping, by pattern, that can take the same request.

    :raises ConfigError: nothing tells which of two comes first.
    """
    places = defaultdict[object, list[tuple[RoutePattern, RawMapping]]](list)
    for text, route in routes.items():
        one = RoutePattern.parse(text)
        others = places[one.place]
        for other, by in others:
            if one.ties_with(other):
                raise route.said.wrong(
                    f"takes requests that {by.said.where} {by.said.text} takes, too,"
                    " and nothing says which comes first"
                )
        others.append((one, route))
