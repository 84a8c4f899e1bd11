"""No response of HTTP mode ever reaches another client than the one that asked.

With 2,000 requests of each client this is the row ``nonces`` of the chaos suite.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Place
from tests.end_to_end.stage import Stage
from tests.support.nonces import Nonces
from tests.support.peers import node
from tests.support.ports import free_ports
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

APPLICATION = Path(__file__).with_name("applications") / "nonces.js"

CLIENTS, REQUESTS = 32, 60


def test_nonces(stage: Stage, tmp_path: Path) -> None:
    """32 clients that pipeline and leave halfway get their own responses only."""
    (port,) = free_ports(1)
    with ExitStack() as stack:
        for name in ("anna", "bert"):
            home = tmp_path / name
            home.mkdir()
            _, server = stack.enter_context(node(home, APPLICATION))
            stage.add(Place(name, server), Name=stage.service)
        gateway = stage.gateway(
            "--workers", "2", "--map", f"{port}:{stage.service},mode=http"
        )
        all_serve(gateway, 2)
        clients = stack.enter_context(Nonces(port, CLIENTS, REQUESTS))
        outcome = clients.outcome(timeout=120)
    assert outcome.pop("left") > CLIENTS
    assert outcome == {"own": CLIENTS * REQUESTS}, clients.seed
