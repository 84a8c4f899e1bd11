"""Instances, upstreams and Consul's answers, with only what a test cares about."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lbconsul.balance.instance import Health, Identity, Instance, Status
from lbconsul.balance.outlier import Outliers
from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import (
    InstanceFilter,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
)
from lbconsul.balance.scheduler import Scheduler
from lbconsul.balance.standing import Standing, Verdict
from lbconsul.balance.upstream import Lease, Load, TierPolicy, Upstream


def an_identity(name: str = "web-1") -> Identity:
    """The identity of an instance called `name`."""
    return Identity("dc1", "node-1", name)


def an_instance(
    name: str = "web-1",
    *,
    weight: int = 1,
    warning_weight: int = 1,
    own_weight: int | None = None,
    tags: Sequence[str] = (),
    meta: Mapping[str, str] = MappingProxyType({}),
    status: Status = "passing",
    reason: str = "",
    node_status: Status = "passing",
    node_reason: str = "",
    host: str = "192.0.2.1",
    port: int = 8080,
    created: int = 0,
) -> Instance:
    """A healthy instance, but for what is said of it."""
    return Instance(
        identity=an_identity(name),
        host=host,
        port=port,
        address=host,
        tags=tuple(tags),
        meta=tuple(sorted(meta.items())),
        passing_weight=weight,
        warning_weight=warning_weight,
        own_weight=own_weight,
        health=Health(status, reason),
        node_health=Health(node_status, node_reason),
        created=created,
    )


def instances(*names: str) -> list[Instance]:
    """Healthy instances of these names."""
    return [an_instance(name) for name in names]


def an_upstream(name: str = "web-1", weight: int = 1, connections: int = 0) -> Upstream:
    """A serving upstream that stands in no pool."""
    instance = an_instance(name, weight=weight)
    verdict = Verdict(Standing.SERVING, weight, "passing")
    return Upstream(instance, Load(connections), verdict, lambda upstream: None)


def upstreams(*weights: int) -> list[Upstream]:
    """Serving upstreams of these weights, called 0, 1, 2 and so on."""
    return [an_upstream(str(name), weight) for name, weight in enumerate(weights)]


def reweigh(upstream: Upstream, weight: int) -> None:
    """Give it another weight, as an altered registration does."""
    upstream.verdict = Verdict(Standing.SERVING, weight, "passing")
    upstream.ramp(1.0)


def name_of(upstream: Upstream) -> str:
    """The name that the upstream was made with."""
    return upstream.instance.identity.service_id


def names_of(many: Iterable[Upstream]) -> list[str]:
    """The names that they were made with, sorted."""
    return sorted(map(name_of, many))


def an_entry(
    service_id: str = "web-1",
    *,
    checks: Iterable[dict[str, Any]] | None = (),
    node: dict[str, Any] | None = None,
    **service: Any,
) -> dict[str, Any]:
    """One entry of ``/v1/health/service``, as Consul writes it."""
    return {
        "Node": {"Node": "node-1", "Address": "192.0.2.9", "Datacenter": "dc1"}
        | (node or {}),
        "Service": {
            "ID": service_id,
            "Service": "web",
            "Tags": [],
            "Address": "192.0.2.1",
            "Meta": {},
            "Port": 8080,
            "Weights": {"Passing": 1, "Warning": 1},
        }
        | service,
        "Checks": None if checks is None else list(checks),
    }


def an_answer(*entries: object) -> bytes:
    """The body of an answer that holds these entries."""
    return json.dumps(entries).encode()


def a_pool(
    policy: TierPolicy,
    rules: InstanceFilter = InstanceFilter(),  # noqa: B008 (frozen)
    patience: OutlierConfig = OutlierConfig(),  # noqa: B008
    seconds: Callable[[], float] = lambda: 0.0,
) -> Pool:
    """A pool without an observer."""
    selection = PoolSpec(ServiceQuery("web"), rules, patience=patience)
    others = LeastConnections(lambda: 0.0), LeastConnections(lambda: 0.0)
    placement = Scheduler(policy, *others)
    return Pool(selection, placement, Outliers(patience, lambda: 0.0, seconds), seconds)


def a_lease(upstream: Upstream) -> Lease:
    """A lease whose outcome does not matter."""
    return Lease(upstream, a_pool(LeastConnections(lambda: 0.0)), probing=False)
