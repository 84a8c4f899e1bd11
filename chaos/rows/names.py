"""Consul and instances have host names, and DNS is slow, or many names are dead."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import visit
from tests.support.gateway import Gateway
from tests.support.load import connect
from tests.support.name_server import DEAD, NameServer, Reply
from tests.support.ports import free_ports
from tests.support.waiting import eventually

#: How late a slow answer is, in seconds.
SLOW = 1.0

#: The number of names without an answer.
MANY = 60

#: Within how long the first client is served, from when the gateway listens, in
#: seconds, beside what it waits for slow names: Consul's, and then an instance's.
SERVES = 1.5

#: Clients who come as soon as the gateway listens.
FIRST = 8

DOMAIN = "lb.example"

#: Dead names are known to be so sooner than by default.
OPTIONS = "options timeout:2 attempts:1"


@frozen
class Setting:
    """A gateway's options, and what its names are looked up by."""

    scene: Scene
    names: NameServer
    port: int
    options: Sequence[str]

    def slow_down(self, delay: float) -> None:
        """Names that are answered for are so late from now on."""
        for name, reply in self.names.zone.items():
            if not reply.silent:
                self.names.zone[name] = Reply(reply.addresses, delay)

    def start(self) -> tuple[Gateway, float]:
        """One that starts while clients come; when the first one was served."""
        gateway = self.scene.future_gateway(*self.options)
        self.scene.stack.callback(gateway.kill)
        gateway.start()
        eventually(self.listens, "it listens")
        begun = time.monotonic()
        with ThreadPoolExecutor(FIRST) as clients:
            took = list(clients.map(lambda _: self.served(begun), range(FIRST)))
        lost = [each for each in took if each is None]
        self.scene.report.count(FIRST, len(lost))
        self.scene.report.at_most("lost at the start", len(lost), 0)
        return gateway, min((each for each in took if each is not None), default=99.0)

    def listens(self) -> bool:
        """Whether clients may connect."""
        try:
            connect(self.port).close()
        except OSError:
            return False
        return True

    def served(self, begun: float) -> float | None:
        """How long it took until one client was served, if it was."""
        try:
            visit(self.port)
        except OSError:
            return None
        return time.monotonic() - begun


def play(scene: Scene) -> None:
    """Start and replace a gateway while names are slow, or many are dead."""
    with NameServer(host="127.0.0.1", port=53) as names:
        setting = prepared(scene, names)
        report = scene.report
        gateway, served = setting.start()
        report.at_most("first served beside dead names after", served, SERVES, "s")
        gateway.stop()
        setting.slow_down(SLOW)
        gateway, served = setting.start()
        wait = 2 * SLOW + SERVES
        report.at_most("first served with slow names after", served, wait, "s")
        with scene.traffic(setting.port, pause=0.005) as traffic:
            new = taken_over(setting)
            time.sleep(scene.either(5.0, 0.5))
            require_faultless(report, traffic.stop())
        gateway.wait_until_gone()
        gateway = new
        gateway.wait_for("host names cannot be resolved")
        told = gateway.find(rf"{MANY} host names cannot be resolved")
        report.require("dead names are one line", bool(told))
        served_by = {visit(setting.port) for _ in range(12)}
        report.require("all serve", served_by == set(NAMES), str(sorted(served_by)))
        gateway.stop()


def prepared(scene: Scene, names: NameServer) -> Setting:
    """Consul, three servers and many dead names; and this host asks that server."""
    conf = scene.home / "resolv.conf"
    conf.write_text(f"nameserver 127.0.0.1\nsearch {DOMAIN}\n{OPTIONS}\n")
    # The row's namespace of mounts is its own.
    bind = ["mount", "--bind", str(conf), str(Path("/etc/resolv.conf").resolve())]
    subprocess.run(bind, check=True)
    agent = scene.consul()
    registrar = Registrar(agent)
    names.zone[f"consul.{DOMAIN}"] = Reply(["127.0.0.1"])
    for server in scene.servers():
        names.zone[f"{server.name}.{DOMAIN}"] = Reply([server.host])
        registrar.add(SERVICE, server, Address=server.name)
    for number in range(MANY):
        name = f"dead-{number}"
        names.zone[f"{name}.{DOMAIN}"] = DEAD
        body = {"ID": name, "Name": SERVICE, "Address": name, "Port": 80}
        registrar.put("agent/service/register", body)
    (port,) = free_ports(1)
    options = (
        f"--consul=consul:{agent.port}",
        f"--map={port}:{SERVICE}",
        f"--takeover={scene.home / 'takeover.sock'}",
    )
    return Setting(scene, names, port, options)


def taken_over(setting: Setting) -> Gateway:
    """Another gateway takes the place, under load, while names are slow."""
    begun = time.monotonic()
    new = setting.scene.future_gateway(*setting.options)
    setting.scene.stack.callback(new.kill)
    new.start()
    new.wait_for(r"taken over from the gateway at ")
    setting.scene.report.note("takeover took", time.monotonic() - begun, "s")
    return new


ROW = Row(
    "names",
    f"Consul and instances under host names: {SLOW:.0f} s slow, {MANY} more dead;"
    " start and takeover",
    play,
    needs=("mount",),
)
