"""What a gateway shows of itself is true, and what it is ordered to do it does."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.registrar import TOLD, Registrar
from tests.end_to_end.visits import held, held_by, visit, visits
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway, eventually, run_to_its_end
from tests.support.load import Visitor, connect
from tests.support.ports import free_ports
from tests.support.web_server import WebServer
from tests.support.workers import all_serve, pids

pytestmark = pytest.mark.consul

#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])

NO_PROMTOOL = (
    "no promtool (Debian's package prometheus has it): nothing has looked whether"
    " metrics are as Prometheus wants them"
)

#: What a client sends for one answer, and what anna and bert answer, in bytes.
ASKED = len(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")


@pytest.fixture
def admin() -> AdminSide:
    """An admin listener, once a gateway has been told of it."""
    (port,) = free_ports(1)
    return AdminSide(port)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the token for orders."""
    path = tmp_path / "admin-token"
    path.touch(0o600)
    path.write_text(" s3cret-of-ours\n")
    return path


TOKEN = "s3cret-of-ours"


def id_of(service_id: str) -> str:
    """The id of an instance that is registered with the shared Consul."""
    return f"dc1/test-node/{quote(service_id, safe='')}"


def is_down(admin: AdminSide) -> bool:
    """Whether nobody listens there."""
    try:
        admin.connect().connect()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def started_with(
    gateway: StartGateway, workers: str, admin: AdminSide, *arguments: str
) -> Gateway:
    """A gateway that serves, by so many processes."""
    place = admin.place if isinstance(admin.place, int) else f"unix:{admin.place}"
    started = gateway("--workers", workers, f"--admin={place}", *arguments)
    if workers != "1":
        all_serve(started, int(workers))
    return started


@WORKERS
def test_before_the_first_answer(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    workers: str,
) -> None:
    """A gateway lives at once, and is ready when Consul has answered."""
    (port,) = free_ports(1)
    agent = ConsulAgent(consul_binary)
    place = f"127.0.0.1:{agent.port}"
    told = [f"--consul={place}", "--consul", place, f"--map={port}:{service}"]
    gateway(f"--admin={admin.place}", f"--workers={workers}", *told, wait="listening")
    eventually(lambda: not is_down(admin), "it can be asked")
    assert admin.get("/healthz") == (200, "alive\n")
    why = f"0.0.0.0:{port}:{service}: no answer from Consul yet"
    code, said = admin.get("/readyz")
    assert (code, said.replace("0.0.0.0:", "")) == (
        503, why.replace("0.0.0.0:", "") + "\n",
    )  # fmt: skip
    eventually(lambda: bool(admin.status()["watches"][0]["errors"]), "it has failed")
    status = admin.status()
    assert (status["gateway"]["state"], status["gateway"]["ready"]) == ("starting", 0)
    assert status["gateway"]["consul"]
    [watch] = status["watches"]
    assert (watch["state"], watch["age"], watch["answers"]) == ("backing off", None, 0)
    assert "refused" in watch["last_error"]
    with agent:
        Registrar(agent).add(service, servers[0])
        eventually(lambda: admin.get("/readyz") == (200, "ready\n"), "it is ready")
        status = admin.status()
        assert (status["gateway"]["state"], status["gateway"]["ready"]) == (
            "serving", True,
        )  # fmt: skip
        assert status["mappings"][0]["listening"]
        eventually(lambda: f"{service}-anna" in admin.upstreams(), "anna is there")
        assert visit(port) == "anna"


@WORKERS
def test_consul_away(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    tmp_path: Path,
    workers: str,
) -> None:
    """
    While Consul is away one sees since when, why, and how old the data is; a gateway
    that starts meanwhile is ready, and says that it has a snapshot.
    """
    port, other_port, fixed_port, other_admin = free_ports(4)
    fixed = f"127.0.0.1:{servers[1].port}"
    fallback = f"when-empty=fallback={fixed}"
    told = [f"--state-dir={tmp_path / 'state'}", f"--workers={workers}"]
    with ConsulAgent(consul_binary) as agent:
        Registrar(agent).add(service, servers[0])
        told += ["--consul", f"127.0.0.1:{agent.port}"]
        mapping = f"{port}:{service},{fallback}"
        gateway(*told, f"--admin={admin.place}", f"--map={mapping}")
        watching, needs_no_consul = admin.status()["watches"]
        assert watching["state"] == "watching"
        assert (watching["last_error"], watching["failing_since"]) == ("", None)
        assert (watching["instances"], watching["index"] > 0) == (1, True)
        assert str(agent.port) in watching["address"]
        assert (needs_no_consul["state"], needs_no_consul["service"]) == (
            "fixed", fixed,
        )  # fmt: skip
        with admin.listening() as listener:
            agent.stop()
            stopped = time.time()
            failing = listener.wait_for("failing")
            assert time.time() - stopped < 1.0
            assert failing.data["question"] == service
            watch = admin.status()["watches"][0]
            assert watch["state"] == "backing off"
            assert "refused" in watch["last_error"] or "lost" in watch["last_error"]
            assert abs(watch["failing_since"] - stopped) < 1.5
            time.sleep(0.3)
            assert admin.status()["watches"][0]["age"] >= watch["age"] + 0.3
            assert admin.get("/readyz").code == 200
            second = AdminSide(other_admin)
            gateway(
                *told,
                f"--admin={second.place}",
                f"--map={other_port}:{service}",
                f"--map={fixed_port}:nobody,{fallback}",
                wait="listening",
            )
            eventually(lambda: not is_down(second), "it can be asked")
            ready, said = second.get("/readyz")
            assert ready == 503
            assert [line.partition(": ")[0] for line in said.splitlines()] == [
                f"{fixed_port}:nobody,{fallback}".partition(",")[0]
            ] or "nobody" in said
            snapshot = second.status()["watches"][0]
            assert snapshot["state"] == "snapshot"
            assert snapshot["age"] >= watch["age"]
            assert snapshot["failing_since"] is not None
            eventually(lambda: visit(other_port) == "anna", "anna answers")
            agent.start()
            agent.wait_until_ready()
            recovered = listener.wait_for("recovered")
            assert recovered.data["question"] == service
        watch = admin.status()["watches"][0]
        assert (watch["state"], watch["last_error"]) == ("watching", "")
        assert watch["failing_since"] is None
        assert watch["last_error_at"] is not None
        # The agent has forgotten all, which is doubted.
        anna = admin.wait_for_standing(f"{service}-anna", "doubted")
        assert anna["reason"] == "deregistered"


@WORKERS
@pytest.mark.parametrize("how", ["SIGTERM", "POST"])
def test_draining_the_gateway(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    token_file: Path,
    workers: str,
    how: str,
) -> None:
    """
    A gateway that ends lives as long as somebody is connected, and is not ready; so
    it is ordered by a signal or by who has the token.
    """
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    told = [f"--admin-token-file={token_file}", f"--map={port}:{service}"]
    started = started_with(gateway, workers, admin, *told)
    with Visitor(port) as visitor, admin.listening() as listener:
        assert visitor.ask()
        assert admin.get("/readyz").code == 200
        if how == "POST":
            assert admin.ask("POST", "/drain").code == 401
            assert admin.get("/readyz").code == 200
            assert admin.ask("POST", "/drain", TOKEN).code == 202
        else:
            started.terminate()
        listener.wait_for("draining", timeout=1.0)
        assert admin.get("/healthz").code == 200
        assert admin.get("/readyz").code == 503
        assert "accepts nobody" in admin.get("/readyz").body
        status = admin.status()
        assert status["gateway"]["state"] == "draining"
        assert not status["gateway"]["ready"]
        eventually(lambda: not admin.status()["mappings"][0]["listening"], "it is shut")
        assert admin.status()["gateway"]["open"] == 1
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        assert visitor.ask().startswith("anna")
    started.wait_until_gone()
    assert is_down(admin)


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Of each name of a sample the values, by those of its labels, in their order."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sample.labels.values())
            found.setdefault(sample.name, {})[key] = sample.value
    return found


def promtool(text: str) -> str:
    """What Prometheus' own tool has to say."""
    program = shutil.which("promtool")
    if program is None and os.environ.get("CI"):
        pytest.fail(NO_PROMTOOL)
    if program is None:
        pytest.skip(NO_PROMTOOL)
    told = subprocess.run(
        [program, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{told.returncode}{told.stdout}{told.stderr}"


@WORKERS
def test_figures(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    workers: str,
) -> None:
    """
    Every connection and every byte is accounted for, also of connections that are
    open, over all processes; Prometheus is told the same.
    """
    (port,) = free_ports(1)
    for server in servers[:2]:
        registrar.add(service, server, Tags=["v1", server.name])
    told = ["--map", f"{port}:{service}"]
    started = started_with(gateway, workers, admin, *told)
    with held(port, 12) as connections, Visitor(port) as silent:
        silent.join()
        assert held_by(connections) == {"anna": 6, "bert": 6}
        for _, each in connections:
            each.ask("/?another")
        assert visits(port, 4).total() == 4

        def is_told() -> bool:
            [mapping] = admin.status()["mappings"]
            sent = 16 * ASKED + 12 * len("?another")
            return bool(
                (mapping["accepted"], mapping["open"], mapping["endings"])
                == (17, 13, {"--": 4})
                and mapping["bytes_received"] == sent
            )

        eventually(is_told, "all is told", 4.0)
        status = admin.status()
        text = admin.get("/metrics").body
    [mapping] = status["mappings"]
    gateway_status, rows = status["gateway"], mapping["pools"][0]["upstreams"]
    assert (gateway_status["open"], gateway_status["accepted"]) == (13, 17)
    open_now = [row["open"] for row in rows]
    assert sorted(open_now) == [6, 7]
    assert sum(row["total"] for row in rows) == 17
    for name in ("bytes_received", "bytes_sent"):
        assert sum(row[name] for row in rows) == mapping[name]
    # The head of an answer has more than a hundred bytes.
    assert mapping["bytes_sent"] > 28 * 100
    assert {row["connect_failures"] for row in rows} == {0}
    assert {tuple(row["tags"]) for row in rows} == {("v1", "anna"), ("v1", "bert")}
    assert {row["id"] for row in rows} == {
        id_of(f"{service}-{name}") for name in ("anna", "bert")
    }
    assert {row["address"] for row in rows} == {
        f"127.0.0.1:{server.port}" for server in servers[:2]
    }
    assert all(0 < row["connect_time"] < 1 for row in rows)
    assert all((row["standing"], row["weight"]) == ("serving", 1) for row in rows)
    assert sum(mapping["connect_time"]["counts"]) == 17
    assert sum(mapping["first_byte_time"]["counts"]) == 16
    assert sum(mapping["connection_time"]["counts"]) == 4
    members = gateway_status["workers"]
    if workers == "1":
        assert members == []
    else:
        assert {each["number"]: each["pid"] for each in members} == pids(started)
        assert sum(each["open"] for each in members) == 13
        assert sum(each["accepted"] for each in members) == 17
        assert all(each["serves"] for each in members)

    assert promtool(text) == "0"
    known = samples(text)
    name = (mapping["name"], service)
    assert known["lbconsul_connections_accepted_total"] == {name: 17}
    assert known["lbconsul_connections_open"] == {name: 13}
    assert known["lbconsul_connections_ended_total"] == {(*name, "--"): 4}
    assert known["lbconsul_received_bytes_total"] == {name: mapping["bytes_received"]}
    assert known["lbconsul_sent_bytes_total"] == {name: mapping["bytes_sent"]}
    assert known["lbconsul_connect_seconds_count"] == {name: 17}
    for row in rows:
        key = (*name, row["id"])
        assert known["lbconsul_upstream_connections_open"][key] == row["open"]
        assert known["lbconsul_upstream_connections_total"][key] == row["total"]
        for way in ("received", "sent"):
            bytes_total = known[f"lbconsul_upstream_{way}_bytes_total"]
            assert bytes_total[key] == row[f"bytes_{way}"]
    assert known["lbconsul_ready"] == {(): 1}
    assert known["lbconsul_workers"] == {(): len(members)}

    eventually(lambda: admin.status()["gateway"]["open"] == 0, "all have left")
    eventually(
        lambda: sum(admin.status()["mappings"][0]["endings"].values()) == 17,
        "all is over",
    )
    after = admin.status()["mappings"][0]
    assert (after["accepted"], after["open"]) == (17, 0)
    assert after["bytes_sent"] == mapping["bytes_sent"]


@WORKERS
def test_ejected(
    registrar: Registrar,
    servers: list[WebServer],
    own_servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    workers: str,
) -> None:
    """Of an instance that does not answer one sees the failures, and for how long it
    is set aside; it is told at once, and so is its return.
    """
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    dead = registrar.add(service, own_servers[0])
    mapping = f"{port}:{service},policy=roundrobin,eject-time=3s"
    started_with(gateway, workers, admin, "--map", mapping)
    own_servers[0].kill()
    with admin.listening() as listener:
        listener.wait_for("joined")
        assert visits(port, 20) == {"anna": 20}
        ejected = listener.wait_for("ejected", timeout=2.0)
        assert ejected.data["upstream"] == id_of(dead)
        assert ejected.data["question"] == service
        assert dead in ejected.data["text"]
        assert "3 in a row not connected" in ejected.data["text"]
        row = admin.wait_for_standing(dead, "ejected", 3.0)
        assert re.fullmatch(
            r"ejected \d s ago: 3 in a row not connected, back in \d s", row["reason"]
        )
        eventually(lambda: admin.upstreams()[dead]["connect_failures"] >= 3, "3", 3.0)
        row = admin.upstreams()[dead]
        assert (row["open"], row["total"]) == (0, 0)
        assert abs(time.time() - row["since"]) < 5
        assert admin.get("/readyz").code == 200
        text = admin.get("/metrics").body
        assert promtool(text) == "0"
        own_servers[0].start()
        own_servers[0].wait_until_listening()
        eventually(lambda: visit(port) == "emil", "emil answers again")
        trusted = listener.wait_for("trusted", timeout=3.0)
        assert trusted.data["upstream"] == id_of(dead)
        admin.wait_for_standing(dead, "serving", 3.0)
    known = samples(text)
    key = (mapping.partition(",")[0], service, id_of(dead))
    standings = known["lbconsul_upstream_standing"]
    assert [k[-1] for k, value in standings.items() if id_of(dead) in k and value] == [
        "ejected"
    ]
    failures = known["lbconsul_upstream_connect_failures_total"]
    assert [v for k, v in failures.items() if k[-1] == key[-1]][0] >= 3


def test_why(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
) -> None:
    """Of each instance one sees why it gets what it gets, in Consul's own words."""
    (port,) = free_ports(1)
    well = registrar.add(service, servers[0])
    ill = registrar.add(service, servers[1], Check=TOLD)
    resting = registrar.add(service, servers[2])
    mapping = f"{port}:{service},slow-start=1m,shrink-hold=1m"
    gateway(f"--admin={admin.place}", "--map", mapping)
    assert {row["standing"] for row in admin.upstreams().values()} == {"serving"}
    with admin.listening() as listener:
        registrar.maintain(resting, True)
        row = admin.wait_for_standing(resting, "draining", 1.0)
        assert row["reason"] == "maintenance: spring cleaning"
        registrar.check(ill, "fail")
        row = admin.wait_for_standing(ill, "draining", 2.0)
        assert "critical: as told" in row["reason"]
        altered = listener.wait_for("altered")
        assert altered.data["upstream"] == id_of(resting)
        assert "spring cleaning" in altered.data["text"]
        new = registrar.add(service, servers[3], Weights={"Passing": 10, "Warning": 1})
        row = admin.wait_for_standing(new, "warming", 1.0)
        assert row["weight"] == 10
        assert row["effective_weight"] < 5
        assert listener.wait_for("joined").data["upstream"] == id_of(new)
        weightless = registrar.add(service, servers[2], Weights={"Passing": 0}, ID="w0")
        assert admin.wait_for_standing(weightless, "draining")["reason"] == "weight 0"
        registrar.remove(new)
        assert listener.wait_for("left").data["upstream"] == id_of(new)
        eventually(lambda: new not in admin.upstreams(), "it is gone")
        registrar.remove(well)
        row = admin.wait_for_standing(well, "doubted", 1.0)
        assert row["reason"] == "deregistered"
        assert service in listener.wait_for("doubted").data["question"]
    kinds = [row["standing"] for row in admin.upstreams().values()]
    assert sorted(kinds) == ["doubted", "draining", "draining", "draining"]


@WORKERS
def test_orders(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    token_file: Path,
    workers: str,
) -> None:
    """
    Who has the token drains and undrains an instance, and sets one aside; nobody else
    does.
    """
    (port,) = free_ports(1)
    names = [server.name for server in servers[:3]]
    anna, bert, _ = [registrar.add(service, server) for server in servers[:3]]
    mapping = f"{port}:{service},policy=roundrobin"
    told = [f"--admin-token-file={token_file}", "--map", mapping]
    started = started_with(gateway, workers, admin, *told)
    for verb in ("drain", "undrain", "eject"):
        refused = admin.order(verb, id_of(anna))
        assert (refused.code, "needs the token" in refused.error) == (401, True)
        for wrong in ("", "wrong", TOKEN + "x", TOKEN[:-1]):
            assert admin.order(verb, id_of(anna), wrong).code == 401
    assert set(visits(port, 12)) == set(names)
    assert admin.order("drain", "dc1/test-node/nobody", TOKEN).code == 404
    with Visitor(port) as kept, admin.listening() as listener:
        while not kept.ask().startswith("anna"):
            kept.leave()
        assert admin.order("drain", id_of(anna), TOKEN).code == 200
        ordered = time.monotonic()
        assert listener.wait_for("drained").data["upstream"] == id_of(anna)
        assert time.monotonic() - ordered < 1.0
        time.sleep(0.1)
        assert set(visits(port, 30)) == {"bert", "carl"}
        row = admin.upstreams()[anna]
        assert (row["standing"], row["reason"]) == ("draining", "drained by hand")
        assert row["open"] == 1
        assert kept.ask().startswith("anna")
        if workers != "1":  # and whoever takes a worker's place knows it
            victim = pids(started)[2]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: pids(started)[2] != victim, "there is another one")
            assert set(visits(port, 20)) == {"bert", "carl"}
        assert admin.order("undrain", id_of(anna), TOKEN).code == 200
        assert listener.wait_for("undrained").data["upstream"] == id_of(anna)
        eventually(lambda: "anna" in visits(port, 6), "anna is back", 1.0)
        assert admin.upstreams()[anna]["standing"] == "serving"
        assert admin.order("eject", id_of(bert), TOKEN).code == 200
        assert listener.wait_for("ejected", 2.5).data["upstream"] == id_of(bert)
        time.sleep(0.1)
        assert set(visits(port, 20)) == {"anna", "carl"}
        row = admin.wait_for_standing(bert, "ejected", 2.0)
        assert re.fullmatch(
            r"ejected \d s ago: by hand, back in \d+ s", row["reason"]
        )
    assert started.find(r"ordered by 127\.0\.0\.1: drain dc1/test-node/")


def test_without_a_token_file(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
) -> None:
    """Without a token file nobody can change anything, and it is said how one can."""
    (port,) = free_ports(1)
    anna = registrar.add(service, servers[0])
    gateway(f"--admin={admin.place}", "--map", f"{port}:{service}")
    for token in (None, "", "any"):
        refused = admin.order("drain", id_of(anna), token)
        assert (refused.code, "--admin-token-file" in refused.error) == (403, True)
    assert admin.ask("POST", "/drain", "any").code == 403
    assert admin.upstreams()[anna]["standing"] == "serving"
