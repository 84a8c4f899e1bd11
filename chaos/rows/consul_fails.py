"""Consul fails in every way we know of."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import define

from chaos.false_consul import Entries, FalseConsul
from chaos.processes import Span, measured, memory
from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import require_faultless
from lbconsul.config.consul import ConsulConfig
from lbconsul.consul.client import deadline
from tests.support.gateway import Gateway
from tests.support.misbehaving import SCENARIOS, Scenario
from tests.support.ports import free_ports
from tests.support.script_server import entry
from tests.support.web_server import WebServer

#: Each is a service of its own, all at the same time.  A closed port is the
#: same for all: it comes afterwards.
WAYS: Mapping[str, Scenario] = {
    re.sub(r"\W+", "-", name): scenario
    for name, scenario in SCENARIOS.items()
    if not scenario.closed and name != "floods"
}

#: Those that end with a question's deadline only, as the row `silence` shows; the
#: quick form does not wait for it.
HANGS = ("hangs-before", "hangs-in", "sends-one-byte", "speaks-no-HTTP")

#: Questions about one service at once, as after each change.
BURST = 5.0

#: Within which news must be seen when the failure is over, and after the deadline of a
#: question that hangs, in seconds.
SEEN = 5.0
DEADLINE = deadline(ConsulConfig().consul_wait)

#: Of one core, with all of them failing at once, in percent.
CPU = 20.0


@define
class Play:
    """What the parts of this row share."""

    scene: Scene
    servers: Sequence[WebServer]
    consul: FalseConsul
    gateway: Gateway

    def changes(self) -> Counter[str]:
        """How often the log tells of a change of each service."""
        told = self.gateway.find(r" info (\S+): .*; \d in all$")
        return Counter(each[1] for each in told)

    def judge_news(
        self, what: str, names: Iterable[str], before: Counter[str], bound: float
    ) -> None:
        """Wait until the log has one more change of each service."""
        begun, missing, slowest = time.monotonic(), set(names), ""
        while missing and time.monotonic() < begun + bound + 10 * SEEN:
            time.sleep(0.05)
            now = self.changes()
            seen = {each for each in missing if now[each] > before[each]}
            slowest = min(seen, default=slowest)
            missing -= seen
        took = time.monotonic() - begun
        last = ", ".join(sorted(missing)) or slowest
        self.scene.report.at_most(f"{what} (last: {last})", took, bound, "s")


def play(scene: Scene) -> None:
    """All services fail at once, each in its own way; then the port is closed."""
    servers = scene.servers()
    port, *ports = free_ports(1 + len(WAYS))
    consul = scene.enter(FalseConsul(port, list(WAYS), telling(servers[:2])))
    maps = [f"--map={p}:{name}" for p, name in zip(ports, WAYS, strict=True)]
    gateway = scene.gateway(f"--consul=127.0.0.1:{port}", *maps)
    time.sleep(1.5)  # the buckets are full again
    size = memory(gateway)
    with scene.traffic(*ports, new=len(ports), kept=0, pause=0.5) as traffic:
        fail(Play(scene, servers, consul, gateway))
        refuse(Play(scene, servers, consul, gateway))
        outcome = traffic.stop()
    scene.report.note("ways", len(WAYS) + 1)
    scene.report.at_most("memory grown", (memory(gateway) - size) / 2**20, 20, "MiB")
    require_faultless(scene.report, outcome)


def telling(servers: Sequence[WebServer]) -> Entries:
    """That each service has these instances."""
    return lambda name: [
        entry(each.port, service=name, Address=each.host, Port=each.port)
        for each in servers
    ]


def fail(it: Play) -> None:
    """Every service in its own way."""
    asked, before = it.consul.asked(), it.changes()
    with measured(it.gateway) as span:
        it.consul.misbehave(dict(WAYS))
        time.sleep(it.scene.either(5.0, 2.0))
    it.scene.report.at_most("pools changed", changed(before, it.changes()), 0)
    judge_queries(it, it.consul.asked() - asked, span)
    it.consul.behave(telling(it.servers[1:]))
    hangs = [each for each in WAYS if each.startswith(HANGS)]
    it.judge_news("news seen after", WAYS.keys() - hangs, before, SEEN)
    if not it.scene.quick:
        it.judge_news("after a hang", hangs, before, DEADLINE + SEEN)


def refuse(it: Play) -> None:
    """Close Consul's port for a while."""
    before = it.changes()
    it.consul.close()
    time.sleep(it.scene.either(5.0, 2.0))
    it.scene.report.at_most(
        "pools changed while refused", changed(before, it.changes()), 0
    )
    it.consul.behave(telling(it.servers[::2]))
    it.consul.open()
    it.judge_news("news seen after refusals", WAYS, before, SEEN)


def judge_queries(it: Play, asked: Counter[str], span: Span) -> None:
    """Consul may not be flooded, nor we be busy with it."""
    most = {
        name: scenario.rate * span.seconds + BURST + 1
        for name, scenario in WAYS.items()
    }
    flooded = [f"{name}: {asked[name]}" for name in WAYS if asked[name] > most[name]]
    it.scene.report.require("questions bounded", not flooded, ", ".join(flooded))
    busiest, queries = asked.most_common(1)[0]
    it.scene.report.note(f"most questions ({busiest})", queries)
    it.scene.report.at_most("CPU", span.percent, CPU, "%")


def changed(before: Counter[str], after: Counter[str]) -> int:
    """The number of changes logged meanwhile."""
    return (after - before).total()


ROW = Row(
    "consul-fails",
    f"Consul fails in {len(WAYS) + 1} ways, one for each service",
    play,
)
