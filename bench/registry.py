"""What the registry costs as upstreams grow: pick, release, replace.  In-process."""

import json
import random
import time
from collections.abc import Sequence
from typing import Any

from bench.plan import Plan
from bench.results import Results
from bench.stage import Stage
from bench.work import ANSWER, PICK, RELEASE, REPLACE
from lbconsul.balance.instance import Instance
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease
from lbconsul.consul.incremental import IncrementalParser

#: Picks in one measurement; one alone is shorter than the clock is good for.
_BLOCK = 2000

#: Measurements of one size, each of them a value.
_BLOCKS = 5

_WEIGHTS = (1, 2, 3, 5, 8)


def registry(stage: Stage, plan: Plan, results: Results) -> None:
    """All policies at all sizes."""
    for size in plan.upstreams:
        bodies = [answer(size, changed) for changed in (0, 1)]
        reader = IncrementalParser()
        answers = [reader.read(body).instances for body in bodies]
        for policy in POLICIES:
            with results.noting(f"{policy}, {size} upstreams"):
                selection = PoolSpec(ServiceQuery("web"), policy=policy)
                _policy(selection, answers, results)
        with results.noting(f"answers of {size} instances"):
            _read(bodies, results)


def _policy(
    selection: PoolSpec, answers: Sequence[Sequence[Instance]], results: Results
) -> None:
    registry = Registry(random.Random(1).random)
    size = len(answers[0])
    name = selection.policy
    registry.replace(selection.query, answers[0])
    failover = registry.failover(FailoverSpec((selection,)))  # as a proxy keeps it
    held = [failover.lease() for _ in range(2 * size)]
    for number in range(_BLOCKS):
        begun = time.perf_counter()
        leases = [failover.lease() for _ in range(_BLOCK)]
        results.add(PICK, name, _since(begun) * 1e6 / _BLOCK, size)
        random.Random(size).shuffle(leases)
        begun = time.perf_counter()
        _end(leases)
        results.add(RELEASE, name, _since(begun) * 1e6 / _BLOCK, size)
        begun = time.perf_counter()
        registry.replace(selection.query, answers[(number + 1) % 2])
        results.add(REPLACE, name, _since(begun) * 1e3, size)
    _end(held)


def _read(bodies: Sequence[bytes], results: Results) -> None:
    """What holds the reactor when an answer is there: JSON, instances, replace."""
    registry, reader = Registry(random.Random(1).random), IncrementalParser()
    selection = PoolSpec(ServiceQuery("web"))
    registry.pool(selection)
    for number in range(_BLOCKS):
        begun = time.perf_counter()
        instances = reader.read(bodies[number % 2]).instances
        change = registry.replace(selection.query, instances)
        if change.changed:  # the first answer changes every instance, not one
            results.add(ANSWER, "any policy", _since(begun) * 1e3, len(instances))


def _since(begun: float) -> float:
    return time.perf_counter() - begun


def _end(leases: list[Lease]) -> None:
    for lease in leases:
        lease.end()


def answer(size: int, changed: int) -> bytes:
    """Consul's answer of `size` instances; one weight is larger by `changed`."""
    entries = [_entry(n, _WEIGHTS[n % len(_WEIGHTS)]) for n in range(size)]
    entries[size // 2]["Service"]["Weights"]["Passing"] += changed
    return json.dumps(entries, separators=(",", ":")).encode()


def _entry(number: int, weight: int) -> dict[str, Any]:
    """An entry about as long as Consul's own."""
    node, service_id = f"node-{number // 10}", f"web-{number}"
    check = {
        "Node": node, "CheckID": f"service:{service_id}", "Name": "HTTP on port 8080",
        "Status": "passing", "Notes": "", "Output": "HTTP GET: 200 OK", "Type": "http",
        "ServiceID": service_id, "ServiceName": "web", "ServiceTags": ["v2"],
        "Definition": {}, "CreateIndex": number, "ModifyIndex": number,
    }  # fmt: skip
    alive = {**check, "CheckID": "serfHealth", "ServiceID": "", "ServiceName": ""}
    return {
        "Node": {
            "ID": f"00000000-0000-0000-0000-{number:012}", "Node": node,
            "Address": "192.0.2.1", "Datacenter": "dc1", "Meta": {"rack": "1"},
            "TaggedAddresses": {"lan": "192.0.2.1", "wan": "192.0.2.1"},
        },
        "Service": {
            "ID": service_id, "Service": "web", "Tags": ["v2"], "Meta": None,
            "Address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "Port": 8080, "Weights": {"Passing": weight, "Warning": 1},
        },
        "Checks": [check, alive],
    }  # fmt: skip
