"""The gateway reloads its configuration and is taken over, again and again."""

import os
import random
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define

from chaos.crowd import Crowd
from chaos.row import Row
from chaos.scene import SERVICE, Scene
from chaos.stream_server import StreamServer
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.load import TLS, Address, Outcome, connect
from tests.support.ports import free_ports
from tests.support.waiting import eventually

#: In one round of load; there are as many rounds as requests enough take.
RELOADS = 30
TAKEOVERS = 5

#: Rounds and requests, in the full form and in the quick one.
ROUNDS = (4, 1)
REQUESTS = (40_000, 8_000)

#: The clients: each makes a connection for each request, or most keep theirs, which
#: the gateway that is replaced closes behind an answer.
NEW = {"new": 12, "kept": 0}
KEPT = {"new": 2, "kept": 9, "body": 30_000}

#: The options of HTTP mode.
HTTP = ",mode=http"

#: Between two of them, in seconds.
PAUSES = (0.02, 0.2)

#: Slow answers that are under way all the time, how long one takes, in seconds, and
#: how many there may be one after the other.
STREAMS = 5
LASTS = 8
MOST = 2_000


@define
class Family:
    """Gateways that replace each other, the last one being the one that accepts."""

    scene: Scene
    config: Path
    agent_port: int
    workers: int
    ports: tuple[int, int]
    gateways: list[Gateway]
    #: What all its mappings have, each option with a comma before it.
    options: str = ""
    reloads: int = 0

    def succeed(self) -> None:
        """Start one more; return once it is ready."""
        gateway = self.scene.future_gateway(
            f"--config={self.config}",
            f"--takeover={self.scene.home / 'takeover.sock'}",
            f"--workers={self.workers}",
        )
        self.scene.stack.callback(gateway.kill)
        gateway.start()
        gateway.wait_until_ready()
        self.gateways.append(gateway)

    def reload(self) -> None:
        """Change its file: a mapping comes or goes, another one is altered.

        In HTTP mode its clients' next requests are another route's besides.
        """
        self.reloads += 1
        self.write()
        os.kill(self.gateways[-1].pid, signal.SIGHUP)

    def write(self) -> None:
        """The file; it is replaced as a whole."""
        main, other = self.ports
        odd = self.reloads % 2
        maps = [f"{main}:{SERVICE},connect-timeout={2 + odd}s{self.options}"]
        if odd:
            maps.append(f"{other}:{SERVICE}")
        text = f'consul = ["127.0.0.1:{self.agent_port}"]\ndrain-timeout = "60s"\n'
        # Lists of strings are written alike in TOML.
        text += f"map = {maps}\n"
        if odd and HTTP in self.options:
            text += f"route = {[f'{main}:test={SERVICE}']}\n"
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config)


def play(
    scene: Scene, *, workers: int = 1, tls: bool = False, http: bool = False
) -> None:
    """Do both in any order, with slow answers under way."""
    agent, servers = scene.consul(), scene.servers(kind=StreamServer)
    registrar = Registrar(agent)
    for each in servers:
        registrar.add(SERVICE, each)
    main, other = free_ports(2)
    config = scene.home / "gateway.toml"
    options = f",tls={scene.site().pem}" if tls else ""
    if http:
        options += HTTP
    family = Family(scene, config, agent.port, workers, (main, other), [], options)
    address: Address = f"{TLS}{main}" if tls else main
    family.write()
    family.succeed()
    path = f"/drip?n=20000&s={LASTS}"
    with Crowd("stream", address, MOST, at_once=STREAMS, path=path) as crowd:
        outcome = rounds(scene, family, address, KEPT if http else NEW)
        streams = [each.what for each in crowd.stop()]
    whole = sum(each == "whole" for each in streams)
    scene.report.count(len(streams), len(streams) - whole)
    scene.report.at_least("slow answers whole", whole, max(STREAMS, len(streams)))
    require_faultless(scene.report, outcome)
    judge(scene, family)


def rounds(
    scene: Scene, family: Family, address: Address, clients: Mapping[str, int]
) -> Outcome:
    """As many rounds as it takes."""
    quick = int(scene.quick)
    done, outcome = 0, Outcome()
    while done < ROUNDS[quick] or len(outcome) < REQUESTS[quick]:
        with scene.traffic(address, **clients, pause=0.002) as traffic:
            one_round(family)
            outcome += traffic.stop()
        done += 1
    scene.report.at_least("requests", len(outcome), REQUESTS[quick])
    return outcome


def one_round(family: Family) -> None:
    """So many of both, one shortly after the other."""
    doings = [family.reload] * RELOADS + [family.succeed] * TAKEOVERS
    random.shuffle(doings)
    for do in doings:
        do()
        time.sleep(random.uniform(*PAUSES))


def eventually_holds(family: Family) -> bool:
    """Whether what the last file says is served in the end, and nothing else."""
    _, other = family.ports
    try:
        eventually(lambda: listens(other) == bool(family.reloads % 2), "it holds")
    except AssertionError:
        return False
    return True


def listens(port: int) -> bool:
    """Whether the port accepts a client."""
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def is_taken_over(gateway: Gateway) -> bool:
    """Whether its log says in the end that it is: a successor whose log says that it is
    ready replaces it only once its workers serve, which may take seconds.
    """
    try:
        gateway.wait_for("another gateway has taken over")
    except AssertionError:
        return False
    return True


def judge(scene: Scene, family: Family) -> None:
    """Every file was read, and all gateways end with status 0."""
    *old, last = family.gateways
    taken = sum(map(is_taken_over, old))
    holds = eventually_holds(family)
    report = scene.report
    done = sum(len(each.find(r" info reloaded: ")) for each in family.gateways)
    failed = sum(len(each.find(r" error not reloaded: ")) for each in family.gateways)
    report.note("reloads", family.reloads)
    # Those that come at once, or while another gateway's place is taken, are one.
    report.at_least("of them carried out", done, 1)
    report.at_most("of them failed", failed, 0)
    report.require("the last file holds", holds)
    report.note("takeovers", len(old))
    report.at_least("of them logged", taken, len(old))
    for each in old:
        each.wait_until_gone()
    last.stop()


def _row(name: str, more: str, *, only_full: bool = False, **how: Any) -> Row:
    return Row(
        name,
        f"SIGHUP and takeovers under load, 20 to 200 ms apart{more}",
        partial(play, **how),
        descriptors=8192,
        limit=900.0,
        only_full=only_full,
    )


ROWS = (
    _row("reloaded", ""),
    _row("reloaded-2-workers", "; 2 workers", workers=2),
    _row("reloaded-tls", "; TLS", tls=True, only_full=True),
    _row("http-reloaded", "; HTTP mode", http=True, only_full=True),
    _row(
        "http-reloaded-2-workers",
        "; HTTP mode, 2 workers",
        http=True,
        workers=2,
        only_full=True,
    ),
)
