"""Registries that are filled by hand."""

import random

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    PoolSpec,
    ServiceQuery,
)
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Upstream

WEB = PoolSpec(ServiceQuery("web"), InstanceFilter())
WEB_ROUTE = FailoverSpec((WEB,))


def instance(
    service_id: str, port: int, address: str = "127.0.0.1", weight: int = 1
) -> Instance:
    """An instance of a service on a node of its own."""
    return Instance(
        Identity("dc1", f"node-of-{service_id}", service_id),
        host=address,
        port=port,
        address=address,
        passing_weight=weight,
    )


def registry_of(*instances: Instance, seed: int = 1) -> Registry:
    """A registry in which the service web has these instances."""
    registry = Registry(random.Random(seed).random)
    registry.replace(WEB.query, instances)
    return registry


def opens(registry: Registry) -> dict[str, int]:
    """The open connections of each upstream of web, by service id."""
    return {_id(each): each.load.open for each in registry.pool(WEB).upstreams()}


def _id(upstream: Upstream) -> str:
    return upstream.instance.identity.service_id
