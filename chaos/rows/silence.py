"""The connection to Consul is lost without a packet to the gateway."""

import time

from chaos.firewall import connection, dropping
from chaos.processes import local_ports
from chaos.row import Row
from chaos.scene import SERVICE, Scene
from chaos.traffic import require_faultless
from lbconsul.config.consul import ConsulConfig
from lbconsul.consul.client import deadline

#: Seconds until a question is given up, and the pause before the next one; then
#: something for the machine.
BOUND = deadline(ConsulConfig().consul_wait) + 2.0 + 1.0


def play(scene: Scene) -> None:
    """Drop all packets of that connection; a change must be seen all the same."""
    usual = scene.usual()
    more = scene.servers(("dora",))[0]
    time.sleep(1.0)
    ports = local_ports(usual.gateway.pid, usual.agent.port)
    matches = [m for port in ports for m in connection(port, usual.agent.port)]
    scene.report.at_least("connections lost", len(ports), 1)
    with (
        scene.traffic(usual.port, new=2, kept=2, pause=0.05) as traffic,
        dropping(*matches),
    ):
        lost = time.monotonic()
        usual.registrar.add(SERVICE, more)
        usual.gateway.wait_for(rf"{SERVICE}: 1 joined \({SERVICE}-dora@", 2 * BOUND)
        seen = time.monotonic()
        time.sleep(1.0)
        outcome = traffic.stop()
    scene.report.at_most("recovered after", seen - lost, BOUND, "s")
    require_faultless(scene.report, outcome)
    said = usual.gateway.find(rf"{SERVICE}: no answer from Consul")
    scene.report.require("log says so", bool(said))


ROW = Row(
    "silence",
    "the packets of the gateway's connection to Consul vanish for good",
    play,
    needs=("nft",),
    waits=True,
)
