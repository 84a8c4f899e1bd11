"""No request that may be repeated is lost, whatever changes under HTTP clients."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from tests.end_to_end.conftest import start_servers
from tests.end_to_end.registrar import TOLD
from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.gateway import Gateway
from tests.support.load import Load, Outcome, Visitor
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

CLIENTS = 8


def started(stage: Stage, *arguments: str) -> Gateway:
    """A gateway with two workers, which both serve."""
    gateway = stage.gateway("--workers", "2", *arguments)
    all_serve(gateway, 2)
    return gateway


def nothing_lost(load: Load) -> Outcome:
    """Every request of a load got its own answer, and so do the next ones."""
    load.more(50)
    outcome = load.stop()
    assert outcome.failed() == []
    assert outcome.wrong() == []
    return outcome


def reloads(gateway: Gateway) -> int:
    """How often it has reloaded."""
    return len(gateway.find(" info reloaded: "))


def test_reloads(stage: Stage, tmp_path: Path) -> None:
    """2,000 requests under reloads with other options and routes are all answered."""
    port, other = free_ports(2)
    for server in stage.servers[:3]:
        stage.add(server)
    file, name = tmp_path / "lb.toml", stage.service
    tables = cycle(
        [
            (f"{port}:{name},mode=http", []),
            (f"{port}:{name},mode=http,policy=roundrobin,keep-idle=1", []),
            (f"{port}:{name},mode=http,set-header=X-A: b", [f"{port}:/none={name}"]),
            (f"{port}:{name}-none,mode=http", [f"{port}:/={name}"]),
            (
                f"{port}:-,mode=http",
                [f"{port}:test={name},retry-on=502", f"{port}:/x={name}"],
            ),
        ]
    )

    def write() -> None:
        mapping, routes = next(tables)
        new = file.with_suffix(".new")
        new.write_text(f"map = ['{mapping}', '{other}:{name}']\nroute = {routes}\n")
        new.rename(file)

    write()
    gateway = started(stage, "--config", str(file))
    with Load(port, CLIENTS, keep_alive=True) as kept, Load(port, 4) as fresh:
        for number in range(1, 7):
            write()
            gateway.reload()
            eventually(lambda n=number: reloads(gateway) == n, "it reloads")  # type: ignore[misc]
            kept.more(220)
        fresh.more(680)
        outcomes = nothing_lost(kept), nothing_lost(fresh)
    assert sum(map(len, outcomes)) > 2000


def test_takeover(stage: Stage, tmp_path: Path) -> None:
    """Clients that keep their connections are told to come back, and lose nothing."""
    (port,) = free_ports(1)
    for server in stage.servers[:3]:
        stage.add(server)
    told = ["--map", f"{port}:{stage.service},mode=http"]
    told += ["--takeover", str(tmp_path / "lb.sock")]
    old = stage.gateway(*told)
    with Load(port, CLIENTS, keep_alive=True) as kept, Load(port, 4) as fresh:
        new = stage.gateway("--workers", "2", *told, wait="listening")
        new.wait_for("taken over from the gateway at /")
        assert old.wait_until_gone().closed == 0
        nothing_lost(kept)
        nothing_lost(fresh)


def test_drain(stage: Stage) -> None:
    """At SIGTERM kept connections end, each with a response that says so."""
    (port,) = free_ports(1)
    for server in stage.servers[:3]:
        stage.add(server)
    gateway = started(stage, "--map", f"{port}:{stage.service},mode=http")
    with Load(port, CLIENTS, keep_alive=True) as load:
        load.more(400)
        gateway.terminate()
        assert gateway.wait_until_gone().closed == 0
        outcome = load.stop()
    assert outcome.wrong() == []
    refused = [each for each in outcome.failed() if "ConnectionRefused" in each.trouble]
    assert outcome.failed() == refused


def test_deregistered(stage: Stage, own_servers: list[WebServer]) -> None:
    """An instance that leaves Consul finishes what it has, and gets no more."""
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    started(stage, "--map", f"{port}:{stage.service},mode=http")
    leaving, *_ = own_servers
    with Load(port, CLIENTS, keep_alive=True) as load:
        load.more(200)
        stage.registrar.remove(f"{stage.service}-{leaving.name}")
        leaving.terminate()
        leaving.wait_until_gone()
        left = time.monotonic()
        load.more(100)
        leaving.start()
        leaving.wait_until_listening()
        stage.add(leaving)
        load.more(100)
        outcome = nothing_lost(load)
    assert outcome.servers()[leaving.name] > 0
    assert outcome.begun_after(left).servers()[leaving.name] > 0


def slow(port: int, token: str) -> str:
    """The answer to a request that takes an instance three seconds."""
    with Visitor(port) as visitor:
        return visitor.ask(f"/slow?s=3&{token}").rstrip("\n")


@pytest.mark.parametrize("retries", [True, False])
def test_killed_in_a_request(
    stage: Stage, own_servers: list[WebServer], retries: bool
) -> None:
    """With retry-on a request at an instance that is killed is answered by another."""
    port, place = free_ports(2)
    admin = AdminSide(place)
    for server in own_servers:
        stage.add(server)
    option = ",retry-on=502" if retries else ""
    maps = f"{port}:{stage.service},mode=http{option}"
    gateway = stage.gateway(f"--admin={place}", "--map", maps)

    def at_work() -> int:
        return sum(int(each["open"]) for each in admin.upstreams().values())

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(slow, port, f"t{number}") for number in range(6)]
        eventually(lambda: at_work() == 6, "all have begun")
        time.sleep(0.1)  # Each instance has its request by then.
        own_servers[0].kill()
        answers = [each.result() for each in asked]
    lost = [each for each in answers if each.startswith("502")]
    assert len(lost) == (0 if retries else 2)
    right = [f"s=3&t{number}" for number in range(6)]
    got = [each.partition(" ")[2] for each in answers if each not in lost]
    assert set(got) <= set(right)
    assert len(got) == 6 - len(lost)
    if not retries:
        assert len(gateway.find(r" 502 .* SH .*reason=upstream-closed")) == 2


@pytest.mark.parametrize("retries", [True, False])
def test_killed(stage: Stage, own_servers: list[WebServer], retries: bool) -> None:
    """
    Killed under load an instance costs no request with retry-on, and without it only
    those that it was just answering, whatever of its connections were kept.
    """
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    option = ",retry-on=502" if retries else ""
    started(stage, "--map", f"{port}:{stage.service},mode=http{option}")
    with Load(port, CLIENTS, pause=0.0, keep_alive=True) as load:
        for victim in own_servers[:2]:
            load.more(300)
            victim.kill()
            load.more(300)
            victim.start()
            victim.wait_until_listening()
        load.more(300)
        outcome = load.stop()
    assert outcome.wrong() == []
    failed = [each.trouble for each in outcome.failed()]
    assert set(failed) <= {"failed: status 502"}
    assert len(failed) <= (0 if retries else 2 * CLIENTS)


def test_one_instance_dies_each_second(stage: Stage) -> None:
    """
    Of eight instances on one host one goes each second, by turns deregistered and
    stopped, and killed with its check failing only later: no request fails.
    """
    (port,) = free_ports(1)
    names = ("anna2", "bert2", "carl2", "dora2", "emma2", "finn2", "gerd2", "hans2")
    name = stage.service
    with ExitStack() as stack:
        servers = start_servers(stack, *names)
        for server in servers:
            stage.add(server, Check=TOLD)
        # The seed's own command line, with HTTP's options.
        told = "mode=http,retry-on=502,503,504,timeout"
        gateway = stage.gateway(f"{port}:{name},{told}")

        def leave(server: WebServer) -> None:
            stage.registrar.remove(f"{name}-{server.name}")
            server.terminate()

        def die(server: WebServer) -> None:
            server.kill()
            time.sleep(0.3)
            stage.registrar.check(f"{name}-{server.name}", "fail")

        with Load(port, CLIENTS, keep_alive=True) as kept, Load(port, 4) as fresh:
            ways: list[Callable[[WebServer], None]] = [leave, die] * 3
            for server, goes in zip(servers, ways, strict=False):
                time.sleep(1.0)
                goes(server)
            time.sleep(1.0)
            outcomes = nothing_lost(kept), nothing_lost(fresh)
        left = {each.name for each in servers[len(ways) :]}
        for outcome in outcomes:
            assert set(outcome.servers()) == set(names)
            assert {each.server for each in outcome[-20:]} <= left
        assert gateway.find(r" retries=[1-9]")
