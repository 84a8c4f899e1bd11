"""Explains which of the routes that are tags takes a request."""

from collections.abc import Iterator

from attrs import frozen

from lbconsul.config.model import Mapping
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.http.redirecting import Redirecting
from lbconsul.http.request import RequestHead
from lbconsul.tags.hosts import is_literal, split_port
from lbconsul.tags.model import TagRoute
from lbconsul.tags.router import TagRouter
from lbconsul.tags.tag import RouteKey


@frozen
class Considered:
    """The rows of routes for a request's host, in the order in which they are tried."""

    #: Each with what does not match; empty if everything does.
    rows: tuple[tuple[Mapping, str], ...]
    #: How many routes are for other hosts only.
    others: int
    #: The row that takes the request; None: none does.
    winner: Mapping | None = None
    #: What else is to be known of it.
    notes: tuple[str, ...] = ()


def considered(
    tags: TagMapping, head: RequestHead, path: bytes, scheme: str
) -> Considered:
    """What the tags of a mapping do with a request."""
    host = head.fields.host
    name = None if host is None else host.name
    router = TagRouter[TagRoute](
        is_tls=bool(tags.mapping.tls.certificates), matcher=tags.table.rules.matcher
    )
    routes = tags.table.routes
    for key, route in routes.items():
        if _may_match(key, name):
            router.put(key, route)
    request = name, path, head.method, head.fields
    explained = router.explain(*request)
    rows = tuple(
        (row, each.mismatch)
        for each in explained.candidates
        for row in tags.rows_at(each.value.key)
    )
    others = sum(1 for key in routes if not key.port) - len(explained.candidates)
    for each in router.matching(*request):
        row = _main_row(tags, each)
        redirecting = Redirecting.of(row.rewriting)
        if redirecting is None or redirecting.location(head, path, scheme):
            return Considered(rows, others, row, tuple(_notes(each)))
    return Considered(rows, others)


def _may_match(key: RouteKey, name: str | None) -> bool:
    """Whether a route may be for a host; to look closer at all of them takes long."""
    if key.port:
        return False
    if not key.host or not is_literal(key.host):
        return True
    return split_port(key.host)[0].strip("[]") == name


def _main_row(tags: TagMapping, route: TagRoute) -> Mapping:
    """The row that gets most of a route's requests."""
    shares = [each.share for each in route.groups] or [0.0]
    return tags.rows_at(route.key)[shares.index(max(shares))]


def _notes(route: TagRoute) -> Iterator[str]:
    if not route.groups:
        yield "the tag of this route is not valid: lbconsul routes tells why"
    elif len(route.groups) > 1:
        shares = (f"{each.key} {each.share:.4g}" for each in route.groups)
        yield f"its requests are shared: {', '.join(shares)}"
