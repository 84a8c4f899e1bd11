"""A datacenter whose instances pass their checks, and cannot be reached."""

import time

from chaos.firewall import dropping, host
from chaos.report import Report
from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import between, slowest, took
from tests.end_to_end.registrar import Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.load import Outcome
from tests.support.ports import free_ports
from tests.support.waiting import eventually

#: The first datacenter's instances: as many as a client has attempts in it.
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
ATTEMPTS = len(HOSTS)

#: The second one's, and the fallback's.
SECOND, FALLBACK = ("dora", "emil"), ("fred",)

#: Half of them by a mapping with two datacenters, half by one with a fallback.
CLIENTS = 8

#: The mappings' connect-timeout, eject-base-time and failback-after, in seconds.
TIMEOUT, EJECTED, FAILBACK = 1.0, 2.0, 1.0

#: Each of its instances is probed after 2, 4, 8 and 16 s at most: so often, while it is
#: away.
PROBES = 4

#: By how much a client may wait longer, in seconds.
GRACE = 1.0

#: Within which all instances of it must be ejected, in seconds: all clients try each of
#: them, at the same time.
LEFT = ATTEMPTS * TIMEOUT + 1.5


def play(scene: Scene) -> None:
    """The first datacenter is away for a while."""
    away = scene.either(30.0, 6.5)
    east, west = datacenters(scene)
    register(scene, Registrar(east), Registrar(west))
    ports = free_ports(2)
    options = (
        f",connect-timeout={TIMEOUT:.0f}s,attempts={ATTEMPTS}"
        f",eject-base-time={EJECTED:.0f}s,failback-after={FAILBACK:.0f}s"
    )
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{east.port}",
        f"--map={ports[0]}:{SERVICE},dc=east|west{options}",
        f"--map={ports[1]}:{SERVICE},dc=east,when-empty=fallback=spare{options}",
    )
    gateway.wait_for(rf"{SERVICE},dc=west: .* 2 in all")
    report = scene.report
    with scene.traffic(*ports, new=CLIENTS, kept=0) as traffic:
        time.sleep(1.0)
        begun = time.monotonic()
        time.sleep(1.0)
        with dropping(*(each for address in HOSTS for each in host(address))):
            vanished = time.monotonic()
            time.sleep(away)
        healed = time.monotonic()
        eventually(
            lambda: gateway.log().count(" restored: ") >= len(HOSTS),
            "all are used again",
            away + 30.0,
        )
        time.sleep(FAILBACK + 1.0)
        outcome = traffic.stop()
    judge(report, outcome, begun, vanished, healed)


def datacenters(scene: Scene) -> list[ConsulAgent]:
    """Agents of east and west, which know each other."""
    east_wan, west_wan = free_ports(2)
    agents = [
        scene.consul(
            extra_config={
                "datacenter": name,
                "node_name": name,
                "ports": {"serf_wan": wan},
                "retry_join_wan": others,
                "retry_interval_wan": "1s",
            }
        )
        for name, wan, others in (
            ("east", east_wan, []),
            ("west", west_wan, [f"127.0.0.1:{east_wan}"]),
        )
    ]
    eventually(
        lambda: len(agents[0].api("GET", "/v1/catalog/datacenters")[2]) == 2,
        "the datacenters know each other",
    )
    return agents


def register(scene: Scene, east: Registrar, west: Registrar) -> None:
    """The servers of both, and the fallback's."""
    for each in scene.servers(NAMES, HOSTS):
        east.add(SERVICE, each)
    for each in scene.servers(SECOND):
        west.add(SERVICE, each)
    for each in scene.servers(FALLBACK):
        east.add("spare", each)


def judge(
    report: Report, outcome: Outcome, begun: float, vanished: float, healed: float
) -> None:
    """Every client is served elsewhere, and soon without waiting."""
    after = outcome.begun_after(vanished)
    report.at_most("failed of those begun after", len(after.failed()), 0)
    report.at_most("cut in flight", len(outcome.failed()), CLIENTS)
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_most("slowest", slowest(after), ATTEMPTS * TIMEOUT + GRACE, "s")
    later = between(outcome, vanished + LEFT, healed)
    report.at_least("served once it was left", len(later), 10)
    report.at_most("slowest of them", slowest(later), TIMEOUT + GRACE, "s")
    waited = sum(took(each) > TIMEOUT / 2 for each in later)
    report.at_most("of them probes", waited, PROBES * len(HOSTS))
    clean = len(between(outcome, begun, vanished)) / (vanished - begun)
    report.note("clean rate", clean, "/s")
    rate = len(later) / (healed - vanished - LEFT)
    report.at_least("rate once it was left", rate, clean / 3, "/s")
    others = between(outcome, vanished + LEFT, healed).servers()
    report.require("by all others", set(others) == {*SECOND, *FALLBACK}, str(others))
    end = max(each.over for each in outcome)
    last = set(outcome.begun_after(end - 0.5).servers())
    report.require("used again in the end", last == set(NAMES), str(sorted(last)))


ROW = Row(
    "unreachable",
    "a datacenter passes its checks, and cannot be reached; then it can",
    play,
    needs=("nft",),
)
