"""What Consul says of instances, and how clients are shared among them.

One case of each kind: the rules are in `tests.balance` and `tests.consul`.
"""

import pytest

from tests.end_to_end.registrar import TOLD
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, held, held_by, visits
from tests.support.ports import free_ports

pytestmark = pytest.mark.consul


def test_least_connections(stage: Stage) -> None:
    """Connections that stay open are spread evenly, to the last one, and all requests
    on one connection are answered by the same instance.
    """
    (port,) = free_ports(1)
    for server in stage.servers:
        stage.add(server)
    stage.gateway("--map", f"{port}:{stage.service}")
    with held(port, 40) as connections:
        assert held_by(connections) == {server.name: 10 for server in stage.servers}
        for name, visitor in connections:
            assert visitor.ask().startswith(name)


def test_same_id_on_two_nodes(stage: Stage) -> None:
    """Instances of two nodes that carry the same id are two instances."""
    (port,) = free_ports(1)
    stage.registrar.add_elsewhere(
        "node-one", stage.service, stage.servers[0], ID="same"
    )
    stage.registrar.add_elsewhere(
        "node-two", stage.service, stage.servers[1], ID="same"
    )
    stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    eventually_shared(port, {"anna": 2, "bert": 2})


def test_warning(stage: Stage) -> None:
    """While it warns an instance has its other weight."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0], Weights={"Passing": 2, "Warning": 1})
    weights = {"Passing": 6, "Warning": 1}
    bert = stage.add(stage.servers[1], Weights=weights, Check=TOLD)
    stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    assert visits(port, 16) == {"anna": 4, "bert": 12}
    stage.registrar.check(bert, "warn")
    eventually_shared(port, {"anna": 4, "bert": 2})
    stage.registrar.check(bert, "pass")
    eventually_shared(port, {"anna": 4, "bert": 12})


def test_critical(stage: Stage) -> None:
    """A critical instance gets nothing but where any health will do, until it passes;
    one in maintenance gets nothing, whatever health is asked for.
    """
    default, lenient = ports = free_ports(2)
    stage.add(stage.servers[0])
    bert = stage.add(stage.servers[1], Check=TOLD)
    stage.gateway(
        f"--map={default}:{stage.service},policy=roundrobin",
        f"--map={lenient}:{stage.service},policy=roundrobin,health=any",
    )
    stage.registrar.check(bert, "fail")
    eventually_shared(default, {"anna": 4})
    assert visits(lenient, 4) == {"anna": 2, "bert": 2}
    stage.registrar.check(bert, "pass")
    eventually_shared(default, {"anna": 2, "bert": 2})
    stage.registrar.maintain(bert, True)
    for port in ports:
        eventually_shared(port, {"anna": 4})
    stage.registrar.maintain(bert, False)
    for port in ports:
        eventually_shared(port, {"anna": 2, "bert": 2})
