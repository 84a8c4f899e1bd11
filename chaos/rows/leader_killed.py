"""The leader of a Consul cluster crashes, again and again."""

import time

from chaos.cluster import Cluster
from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.ports import free_ports


def play(scene: Scene) -> None:
    """Kill the leader, let the others elect one, and restart the killed server."""
    cluster = scene.enter(Cluster())
    registrar = Registrar(cluster.leader())
    servers = scene.servers()
    for number, each in enumerate(servers):
        registrar.add_elsewhere(f"node-{number}", SERVICE, each, ID=each.name)
    (port,) = free_ports(1)
    consuls = [f"--consul=127.0.0.1:{each.port}" for each in cluster.agents]
    gateway = scene.gateway(*consuls, f"--map={port}:{SERVICE}")
    gateway.wait_for(r"; 3 in all$")
    before = len(changes(gateway))
    times = int(scene.either(20, 3))
    with scene.traffic(port, pause=0.02) as traffic:
        for _ in range(times):
            leader = cluster.leader()
            leader.kill()
            time.sleep(1.0)
            leader.start()
            cluster.wait_until_ready()
            time.sleep(0.5)
        outcome = traffic.stop()
    report = scene.report
    report.note("leaders killed", times)
    require_faultless(report, outcome)
    report.at_most("changes of the pool", len(changes(gateway)) - before, 0)
    served = set(outcome.servers())
    report.require("all served", served == set(NAMES), str(sorted(served)))


def changes(gateway: Gateway) -> list[str]:
    """The lines of its log that tell of one."""
    lines = gateway.find(rf"{SERVICE}: .*\b\d+ (joined|left|changed)\b.*$")
    return [each[0] for each in lines]


ROW = Row(
    "leader-killed",
    "the leader of three Consul servers is killed and comes back, repeatedly",
    play,
    limit=900.0,
)
