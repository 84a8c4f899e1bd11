"""TLS is passed through by server name, while all sorts of things change."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from attrs import define

from chaos.row import Row
from chaos.scene import Scene
from chaos.stream_server import StreamServer
from chaos.traffic import Traffic
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.load import TLS, connect
from tests.support.ports import free_ports
from tests.support.waiting import eventually

#: Two services, each with a route and two instances.
SERVICES = {"api": ("anna", "bert"), "web": ("carl", "dora")}

#: Clients of a service that make a connection for each request, and that keep one.
NEW, KEPT = 3, 3

#: Reloads before and after each of the other changes, in both forms.
RELOADS = (8, 2)

#: Names that no route takes; with the empty one the client sends none.
STRANGE = ("other.example.org", "")

#: How OpenSSL calls the alert unrecognized_name.
ALERT = "TLSV1_UNRECOGNIZED_NAME"


class Stranger(NamedTuple):
    """A client that no route takes, and what it was told: `ALERT` if all is well."""

    name: str
    told: str


@define
class Config:
    """The gateway's file; each reload alters the mapping, and one route in two."""

    path: Path
    agent_port: int
    port: int
    reloads: int = 0

    def write(self) -> None:
        """The file; it is replaced as a whole."""
        odd = self.reloads % 2
        routes = [f"{self.port}:{name}.example.com={name}" for name in SERVICES]
        if odd:
            routes.append(f"{self.port}:new.example.com=web")
        listed = ", ".join(f'"{each}"' for each in routes)
        new = self.path.with_suffix(".new")
        new.write_text(
            f'consul = ["127.0.0.1:{self.agent_port}"]\n'
            f'map = ["{self.port}:-,mode=sni,connect-timeout={2 + odd}s"]\n'
            f"route = [{listed}]\n"
        )
        new.replace(self.path)

    def reload(self, gateway: Gateway) -> None:
        """Alter it; return once that is in effect."""
        self.reloads += 1
        self.write()
        before = len(gateway.find("info reloaded: "))
        gateway.reload()
        eventually(lambda: len(gateway.find("info reloaded: ")) > before, "it reloads")


def play(scene: Scene) -> None:
    """Deregister an instance of one service, and kill one of the other."""
    agent, (port,) = scene.consul(), free_ports(1)
    pem = scene.site().issue("instance", "127.0.0.1")
    registrar = Registrar(agent)
    servers = {}
    for service, names in SERVICES.items():
        for each in scene.servers(names, kind=partial(StreamServer, pem=pem)):
            registrar.add(service, each)
            servers[each.name] = each
    config = Config(scene.home / "gateway.toml", agent.port, port)
    config.write()
    gateway = scene.gateway(f"--config={config.path}")
    reload = partial(reload_often, config, gateway, RELOADS[scene.quick])
    with (
        load(scene, "api", port) as api,
        load(scene, "web", port) as web,
        strangers(port) as strange,
    ):
        reload()
        registrar.remove("api-bert")
        gateway.wait_for(r" info api: .*; 1 in all$")
        removed = time.monotonic()
        reload()
        servers["carl"].kill()
        killed = time.monotonic()
        reload()
        time.sleep(scene.either(5.0, 1.0))
        asked, others = api.stop(), web.stop()
    report = scene.report
    report.note("reloads", config.reloads)
    report.at_most("failed", len(asked.failed()), 0)
    after = others.begun_after(killed)
    report.at_most("failed, begun after the kill", len(after.failed()), 0)
    report.at_most("cut in flight", len(others.failed()), NEW + KEPT)
    report.at_most("wrong", len(asked.wrong()) + len(others.wrong()), 0)
    for service, outcome in (("api", asked), ("web", others)):
        served = set(outcome.servers())
        expected = set(SERVICES[service])
        report.require(f"{service} by its own", served == expected, str(served))
    late = {each.server for each in asked.begun_after(removed) if each.fresh}
    report.require("none by the removed", late == {"anna"}, str(late))
    report.at_least("strangers", len(strange), 20)
    wrong = {each for each in strange if each.told != ALERT}
    report.require(f"each told {ALERT}", not wrong, str(sorted(wrong)[:3]))


def load(scene: Scene, service: str, port: int) -> Traffic:
    """Clients that ask for a service by its name."""
    return scene.traffic(f"{TLS}{service}.example.com@{port}", new=NEW, kept=KEPT)


def reload_often(config: Config, gateway: Gateway, times: int) -> None:
    """Reload so often, one shortly after the other."""
    for _ in range(times):
        config.reload(gateway)
        time.sleep(0.2)


@contextmanager
def strangers(port: int) -> Iterator[list[Stranger]]:
    """Clients that no route takes, one after the other."""
    told: list[Stranger] = []
    over = threading.Event()

    def come() -> None:
        while not over.wait(0.02):
            told.extend(Stranger(name, what_is_told(name, port)) for name in STRANGE)

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()


def what_is_told(name: str, port: int) -> str:
    """The reason why a client that asks for this name is refused."""
    try:
        connect(f"{TLS}{name}@{port}").close()
    except ssl.SSLError as error:
        return error.reason
    except OSError as error:
        return f"{type(error).__name__} {error}"
    return "served"


ROW = Row(
    "server-names",
    "TLS passed through by server name: reloads, an instance deregistered, one killed",
    play,
)
