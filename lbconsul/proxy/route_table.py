"""The table by which clients or requests find the proxies of a mapping's routes."""

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import frozen

from lbconsul.config.model import Mapping
from lbconsul.config.server_names import ServerNames
from lbconsul.net.sweeper import Sweeper
from lbconsul.steps import Steps

if TYPE_CHECKING:  # it takes memory that mappings of connections do without
    from lbconsul.http.router import Router


class Routed(Protocol):
    """The proxy of a route."""

    #: The route, as a mapping of its own.
    mapping: Mapping
    session_sweeper: Sweeper


Proxy = TypeVar("Proxy", bound=Routed)


@frozen
class RouteTable(Generic[Proxy]):
    """The proxies of routes, and how they are found."""

    routes: tuple[Proxy, ...]
    #: By the server names of clients; None in HTTP mode.
    by_name: ServerNames[Proxy] | None
    #: In HTTP mode, by what requests ask for.
    router: "Router[Proxy] | None"
    #: In HTTP mode, how often requests are to be checked, in seconds, for the sake of
    #: the shortest time limit of a route.
    interval: float = inf


def making_table(mode: str, routes: Iterable[Proxy]) -> Steps[RouteTable[Proxy]]:
    """Make the table for a mapping with this mode, in steps."""
    routes = tuple(routes)
    if mode != "http":
        names = ServerNames[Proxy]({})
        for each in routes:
            names.add(each.mapping.route, each)
            yield False
        return RouteTable(routes, names, None)
    from lbconsul.http.router import Router

    router = yield from Router.making({each.mapping.route: each for each in routes})
    interval = min((each.session_sweeper.interval for each in routes), default=inf)
    return RouteTable(routes, None, router, interval)
