"""What checks and maintenance mean for traffic."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.registrar import TOLD, Registrar
from tests.end_to_end.visits import eventually_shared, is_closed_at_once, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

OPTIONS = {
    "default": "",
    "passing": ",health=passing",
    "any": ",health=any",
    "no node checks": ",node-checks=off",
}

BOTH = {"anna": 2, "bert": 2}
ONLY_ANNA = {"anna": 4}


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """A port for each way to regard health."""
    return dict(zip(OPTIONS, free_ports(len(OPTIONS)), strict=True))


@pytest.fixture(scope="module")
def judging(
    consul: ConsulAgent, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with a mapping of the service ``judged`` for each way."""
    maps = [
        f"--map={ports[name]}:judged,policy=roundrobin,shrink-hold=1s{options}"
        for name, options in OPTIONS.items()
    ]
    home = tmp_path_factory.mktemp("health")
    with Gateway(home, "--consul", consul.url, *maps) as gateway:
        yield gateway


@pytest.fixture
def bert(
    judging: Gateway,
    registrar: Registrar,
    servers: list[WebServer],
    ports: dict[str, int],
) -> str:
    """The id of an instance with a check, beside one without; both get traffic."""
    registrar.add("judged", servers[0])
    service_id = registrar.add("judged", servers[1], Check=TOLD)
    for port in ports.values():
        eventually_shared(port, BOTH)
    return service_id


def test_critical(bert: str, registrar: Registrar, ports: dict[str, int]) -> None:
    """A critical instance gets nothing but where any health will do, until it passes.

    An instance whose node alone is unwell is another matter: here it is the
    service's own check that fails.
    """
    registrar.check(bert, "fail")
    for name in ("default", "passing", "no node checks"):
        eventually_shared(ports[name], ONLY_ANNA)
    assert visits(ports["any"], 4) == BOTH
    registrar.check(bert, "pass")
    for port in ports.values():
        eventually_shared(port, BOTH)


def test_warning(bert: str, registrar: Registrar, ports: dict[str, int]) -> None:
    """An instance with a warning gets traffic, unless only passing ones may."""
    registrar.check(bert, "warn")
    eventually_shared(ports["passing"], ONLY_ANNA)
    for name in ("default", "any", "no node checks"):
        assert visits(ports[name], 4) == BOTH
    registrar.check(bert, "pass")
    eventually_shared(ports["passing"], BOTH)


def test_service_maintenance(
    bert: str, registrar: Registrar, ports: dict[str, int]
) -> None:
    """An instance in maintenance gets nothing, whatever health is asked for."""
    registrar.maintain(bert, True)
    for port in ports.values():
        eventually_shared(port, ONLY_ANNA)
    registrar.maintain(bert, False)
    for port in ports.values():
        eventually_shared(port, BOTH)


def test_node_maintenance(
    bert: str, registrar: Registrar, servers: list[WebServer], ports: dict[str, int]
) -> None:
    """All instances of a node in maintenance get nothing, even without node checks."""
    registrar.add_elsewhere("another-node", "judged", servers[2])
    eventually_shared(ports["default"], {**BOTH, "carl": 2})
    try:
        registrar.maintain_node(True)
        for port in ports.values():
            eventually_shared(port, {"carl": 4})
    finally:
        registrar.maintain_node(False)
    for port in ports.values():
        eventually_shared(port, {**BOTH, "carl": 2})


def test_node_check(
    bert: str, registrar: Registrar, servers: list[WebServer], ports: dict[str, int]
) -> None:
    """A critical check of the node takes its instances out, unless told otherwise."""
    check = {"Node": "ill-node", "CheckID": "disk", "Name": "disk space"}
    registrar.add_elsewhere(
        "ill-node", "judged", servers[2], Checks=[{**check, "Status": "critical"}]
    )
    eventually_shared(ports["no node checks"], {**BOTH, "carl": 2})
    assert visits(ports["any"], 6) == {**BOTH, "carl": 2}
    assert visits(ports["default"], 4) == BOTH
    assert visits(ports["passing"], 4) == BOTH


def test_all_critical(
    judging: Gateway,
    registrar: Registrar,
    servers: list[WebServer],
    ports: dict[str, int],
) -> None:
    """When all stay critical clients are closed at once, and served again after."""
    service_id = registrar.add("judged", servers[0], Check=TOLD)
    eventually_shared(ports["default"], {"anna": 2})
    registrar.check(service_id, "fail")
    eventually(lambda: is_closed_at_once(ports["default"]), "clients are closed")
    registrar.check(service_id, "pass")
    eventually_shared(ports["default"], {"anna": 2})
