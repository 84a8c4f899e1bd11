"""The routes that are tags of services in Consul, as ``/routes`` shows them."""

from collections.abc import Callable, Iterator

from attrs import frozen


@frozen
class TargetStatus:
    """Instances of one service that serve a route alike."""

    #: The row that it is, as a mapping in ``/status``; empty with ``proto=tcp``.
    name: str
    service: str
    #: As in the tag.
    options: str
    #: The part of the route's requests, from 0 to 1.
    share: float
    instances: int
    #: Those that may get requests.
    usable: int


@frozen
class TagRouteStatus:
    """A route, and what it leads to; nothing if no tag of it can be used."""

    mapping: str
    #: ``HOST/PATH``, or ``:PORT`` with ``proto=tcp``.
    route: str
    targets: tuple[TargetStatus, ...]


@frozen
class ProblemStatus:
    """Something about a tag, or about a command in Consul's KV."""

    mapping: str
    service: str
    #: ``datacenter/node/service id``, percent-encoded; empty if it concerns all.
    instance: str
    tag: str
    why: str
    #: Whether it gets requests all the same.
    is_warning: bool = False


@frozen
class TagMappingStatus:
    """A mapping whose routes are tags."""

    name: str
    listen: str
    prefix: str
    #: Whether all routes are known; until then a request without one gets 503.
    complete: bool
    routes: int
    problems: int
    #: Why Consul does not say which services there are; empty if it does.
    error: str = ""


@frozen
class TagRoutesSource:
    """Gives mappings, routes and problems one by one."""

    mappings: Callable[[], Iterator[TagMappingStatus]] = lambda: iter(())
    routes: Callable[[], Iterator[TagRouteStatus]] = lambda: iter(())
    problems: Callable[[], Iterator[ProblemStatus]] = lambda: iter(())
