"""Clients in HTTP mode pipeline requests, and leave halfway: whose is a response?"""

from chaos.row import Row
from chaos.scene import SERVICE, Scene
from tests.end_to_end.registrar import Place, Registrar
from tests.support.binaries import REPOSITORY
from tests.support.nonces import Nonces
from tests.support.peers import node
from tests.support.ports import free_ports
from tests.support.workers import all_serve

APPLICATION = REPOSITORY / "tests" / "end_to_end" / "applications" / "nonces.js"

#: Clients; and the requests of each, in the full form and in the quick one.
CLIENTS = 32
REQUESTS = (2000, 200)

#: The longest that they may take, in seconds.
LIMIT = 800.0


def play(scene: Scene) -> None:
    """Through two workers, to two instances."""
    agent = scene.consul()
    registrar = Registrar(agent)
    for name in ("anna", "bert"):
        home = scene.home / name
        home.mkdir()
        _, port = scene.enter(node(home, APPLICATION))
        registrar.add(SERVICE, Place(name, port), ID=name)
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        f"--map={port}:{SERVICE},mode=http",
        "--workers=2",
    )
    all_serve(gateway, 2)
    requests = REQUESTS[int(scene.quick)]
    clients = scene.enter(Nonces(port, CLIENTS, requests))
    judge(scene, clients.outcome(LIMIT), CLIENTS * requests)


def judge(scene: Scene, outcome: "dict[str, int]", requests: int) -> None:
    """Each request was answered with its own response."""
    report, own, left = scene.report, outcome.pop("own", 0), outcome.pop("left", 0)
    wrong = sum(count for what, count in outcome.items() if what.startswith("not"))
    failed = sum(outcome.values()) - wrong
    report.count(own + wrong + failed, failed, wrong)
    report.at_least("own responses", own, requests)
    report.at_least("left halfway", left, CLIENTS)
    report.at_most("failed", failed, 0)
    report.require("no response of another request", not wrong, next(iter(outcome), ""))


ROW = Row(
    "nonces",
    "32 HTTP clients pipeline and leave halfway; each request has its nonce; 2 workers",
    play,
    needs=("node",),
    limit=900.0,
)
