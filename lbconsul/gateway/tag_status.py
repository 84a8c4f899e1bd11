"""Collects what is shown of routes that are tags."""

from collections.abc import Iterator

from lbconsul.admin.tag_routes import (
    ProblemStatus,
    TagMappingStatus,
    TagRoutesSource,
    TagRouteStatus,
    TargetStatus,
)
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.gateway.tag_routes import TagRoutes
from lbconsul.tags.model import Problem, TagRoute
from lbconsul.tags.rows import row_of
from lbconsul.tags.tag import RouteKey


def tag_routes_source(tag_routes: TagRoutes) -> TagRoutesSource:
    """The routes of a gateway, as `admin` shows them."""
    return TagRoutesSource(
        lambda: (_mapping(tag_routes, each) for each in tag_routes.all()),
        lambda: (
            _route(each, key, route)
            for each in tag_routes.all()
            for key, route in sorted(each.table.routes.items())
        ),
        lambda: (
            _problem(each, problem)
            for each in tag_routes.all()
            for problem in tuple(each.problems)
        ),
    )


def _mapping(tag_routes: TagRoutes, each: TagMapping) -> TagMappingStatus:
    mapping = each.mapping
    return TagMappingStatus(
        name=str(mapping),
        listen=str(mapping.listen or ""),
        prefix=mapping.tags.prefix,
        complete=each.is_complete,
        routes=len(each.table.routes),
        problems=sum(1 for _ in each.problems),
        error=tag_routes.error(mapping),
    )


def _route(of: TagMapping, key: RouteKey, route: TagRoute) -> TagRouteStatus:
    targets = tuple(_targets(of, key, route))
    return TagRouteStatus(str(of.mapping), str(key), targets)


def _targets(of: TagMapping, key: RouteKey, route: TagRoute) -> Iterator[TargetStatus]:
    for group in route.groups:
        yield TargetStatus(
            name="" if key.port else str(row_of(of.base, key, group.key)),
            service=group.key.service,
            options=str(group.key.options),
            share=round(group.share, 6),
            instances=group.registered,
            usable=group.usable,
        )


def _problem(of: TagMapping, problem: Problem) -> ProblemStatus:
    identity = problem.instance
    return ProblemStatus(
        mapping=str(of.mapping),
        service=problem.service,
        instance="" if identity is None else upstream_id(*identity),
        tag=problem.tag,
        why=problem.why,
        is_warning=problem.is_warning,
    )
