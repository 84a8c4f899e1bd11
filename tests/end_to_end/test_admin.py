"""What a gateway shows of itself is true, and what it is ordered to do it does."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.registrar import TOLD, Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import each_worker_shares, held, held_by, visit, visits
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway, run_to_its_end
from tests.support.load import Visitor, connect
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve, pids

pytestmark = pytest.mark.consul

#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])

#: What a client sends for one answer, and what anna and bert answer, in bytes.
ASKED = len(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")


@pytest.fixture
def admin() -> AdminSide:
    """An admin listener, once a gateway was started with it."""
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
    """Whether the port refuses connections."""
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
def test_a_full_mapping_is_ready(stage: Stage, admin: AdminSide, workers: str) -> None:
    """A mapping that is full is ready still, and says so wherever one looks."""
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    mapping = f"{port}:{stage.service}"
    full = started_with(
        stage.gateway, workers, admin, f"--map={mapping},max-connections={workers}"
    )
    with held(port, int(workers)):
        full.wait_for(rf"{mapping}: full: max-connections=1 is reached; new clients")
        line = f"full: {mapping}: max-connections is reached; new clients wait\n"
        eventually(lambda: admin.get("/readyz") == (200, f"ready\n{line}"), "it says")

        def all_are() -> bool:
            [told] = admin.status()["gateway"]["full"]
            return bool(told["processes"] == int(workers))

        eventually(all_are, "every process says so")
        shown = admin.get("/metrics").body
        count = float(workers)
        assert f'lbconsul_full{{reason="max-connections"}} {count}\n' in shown
    full.wait_for(rf"{mapping}: no longer full, after \d+ s$")
    eventually(lambda: admin.get("/readyz") == (200, "ready\n"), "it says no more")


def test_before_the_first_answer(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
) -> None:
    """A gateway lives at once, and is ready when Consul has answered."""
    (port,) = free_ports(1)
    agent = ConsulAgent(consul_binary)
    place = f"127.0.0.1:{agent.port}"
    told = ["--consul", place, f"--map={port}:{service}"]
    gateway(f"--admin={admin.place}", *told, wait="listening")
    eventually(lambda: not is_down(admin), "it can be asked")
    assert admin.get("/healthz") == (200, "alive\n")
    why = f"{port}:{service}: no answer from Consul yet\n"
    assert admin.get("/readyz") == (503, why)
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


def test_consul_away(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    admin: AdminSide,
    tmp_path: Path,
) -> None:
    """
    While Consul is away one sees since when, why, and how old the data is; a gateway
    that starts meanwhile is ready, and says that it has a snapshot.
    """
    port, other_port, fixed_port, other_admin = free_ports(4)
    fixed = f"127.0.0.1:{servers[1].port}"
    fallback = f"when-empty=fallback={fixed}"
    told = [f"--state-dir={tmp_path / 'state'}"]
    with ConsulAgent(consul_binary) as agent:
        Registrar(agent).add(service, servers[0])
        told += ["--consul", f"127.0.0.1:{agent.port}"]
        mapping = f"{port}:{service},{fallback}"
        started_with(gateway, "1", admin, *told, f"--map={mapping}")
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
            assert failing.data["query"] == service
            watch = admin.status()["watches"][0]
            assert watch["state"] == "backing off"
            assert "refused" in watch["last_error"] or "lost" in watch["last_error"]
            assert stopped - 1.5 < watch["failing_since"] <= time.time()
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
            eventually(lambda: is_about(second, f"{fixed_port}:nobody"), "it says why")
            snapshot = second.status()["watches"][0]
            assert snapshot["state"] == "snapshot"
            assert snapshot["age"] >= watch["age"]
            assert snapshot["failing_since"] is not None
            eventually(lambda: visit(other_port) == "anna", "anna answers")
            agent.start()
            agent.wait_until_ready()
            recovered = listener.wait_for("recovered")
            assert recovered.data["query"] == service
        watch = admin.status()["watches"][0]
        assert (watch["state"], watch["last_error"]) == ("watching", "")
        assert watch["failing_since"] is None
        assert watch["last_error_at"] is not None
        # The agent has forgotten all, which is doubted.
        anna = admin.wait_for_standing(f"{service}-anna", "suspect")
        assert anna["reason"] == "deregistered"


@WORKERS
@pytest.mark.parametrize("how", ["SIGTERM", "POST"])
def test_draining_the_gateway(
    stage: Stage, admin: AdminSide, token_file: Path, workers: str, how: str
) -> None:
    """
    A draining gateway lives as long as a connection is open, and is not ready; the
    drain may come from a signal or from a client with the token.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    told = [f"--admin-token-file={token_file}", f"--map={port}:{stage.service}"]
    started = started_with(stage.gateway, workers, admin, *told)
    with Visitor(port) as visitor, admin.listening() as listener:
        assert visitor.ask()
        assert admin.get("/readyz").code == 200
        if how == "POST":
            assert admin.ask("POST", "/drain").code == 401
            assert admin.get("/readyz").code == 200
            assert admin.ask("POST", "/drain", TOKEN).code == 202
        else:
            started.terminate()
        listener.wait_for("draining")
        assert admin.get("/healthz").code == 200
        assert admin.get("/readyz").code == 503
        assert "draining: " in admin.get("/readyz").body
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


def is_about(admin: AdminSide, mapping: str) -> bool:
    """Whether a gateway is not ready for the sake of this mapping alone."""
    code, said = admin.get("/readyz")
    return code == 503 and re.fullmatch(f"{mapping}[^\n]*\n", said) is not None


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Of each name of a sample the values, by those of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sample.labels[label] for label in sorted(sample.labels))
            found.setdefault(sample.name, {})[key] = sample.value
    return found


def promtool(text: str) -> str:
    """What Prometheus' own tool has to say."""
    told = subprocess.run(
        [needed("promtool", "prometheus"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{told.returncode}{told.stdout}{told.stderr}"


@WORKERS
def test_every_byte_is_accounted_for(
    stage: Stage, admin: AdminSide, workers: str
) -> None:
    """
    Every connection and every byte is accounted for, also of open connections, over all
    processes; Prometheus gets the same numbers.
    """
    (port,) = free_ports(1)
    for server in stage.servers[:2]:
        stage.add(server, Tags=["v1", server.name])
    told = ["--map", f"{port}:{stage.service}"]
    started = started_with(stage.gateway, workers, admin, *told)
    with held(port, 12) as connections, Visitor(port) as silent:
        silent.join()
        assert held_by(connections) == {"anna": 6, "bert": 6}
        for _, each in connections:
            each.ask("/?another")
        assert visits(port, 4).total() == 4

        def is_told() -> bool:
            [mapping] = admin.status()["mappings"]
            sent = 28 * ASKED + 12 * len("?another")
            return bool(
                (mapping["accepted"], mapping["open"], mapping["terminations"])
                == (17, 13, {"--": 4})
                and mapping["bytes_received"] == sent
            )

        eventually(is_told, "all is told")
        status = admin.status()
        text = admin.get("/metrics").body
    [mapping] = status["mappings"]
    gateway_status, rows = status["gateway"], mapping["pools"][0]["upstreams"]
    assert (gateway_status["open"], gateway_status["accepted"]) == (13, 17)
    open_now = [row["open"] for row in rows]
    assert sorted(open_now) == [6, 7]
    assert sum(row["total"] for row in rows) == 17
    for way in ("bytes_received", "bytes_sent"):
        assert sum(row[way] for row in rows) == mapping[way]
    # The head of an answer has more than a hundred bytes.
    assert mapping["bytes_sent"] > 28 * 100
    assert {row["connect_failures"] for row in rows} == {0}
    assert {tuple(row["tags"]) for row in rows} == {("v1", "anna"), ("v1", "bert")}
    assert {row["id"] for row in rows} == {
        id_of(f"{stage.service}-{name}") for name in ("anna", "bert")
    }
    assert {row["address"] for row in rows} == {
        f"127.0.0.1:{server.port}" for server in stage.servers[:2]
    }
    assert all(0 < row["connect_time"] < 1 for row in rows)
    assert all((row["standing"], row["weight"]) == ("serving", 1) for row in rows)
    assert sum(mapping["connect_time"]["counts"]) == 17
    assert sum(mapping["first_byte_time"]["counts"]) == 16
    assert sum(mapping["connection_time"]["counts"]) == 4
    processes = gateway_status["workers"]
    if workers == "1":
        assert processes == []
    else:
        assert {each["number"]: each["pid"] for each in processes} == pids(started)
        assert sum(each["open"] for each in processes) == 13
        assert sum(each["accepted"] for each in processes) == 17
        assert all(each["serves"] for each in processes)

    assert promtool(text) == "0"
    known = samples(text)
    name = (mapping["name"], stage.service)
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
    assert known["lbconsul_workers"] == {(): len(processes)}

    eventually(lambda: admin.status()["gateway"]["open"] == 0, "all have left")
    eventually(
        lambda: sum(admin.status()["mappings"][0]["terminations"].values()) == 17,
        "all is over",
    )
    after = admin.status()["mappings"][0]
    assert (after["accepted"], after["open"]) == (17, 0)
    assert after["bytes_sent"] == mapping["bytes_sent"]


@WORKERS
def test_ejected(
    stage: Stage, own_servers: list[WebServer], admin: AdminSide, workers: str
) -> None:
    """
    The status shows the failures of an instance that does not answer, and its ejection
    with the time; the ejection is an event at once, and so is the return.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    dead = stage.add(own_servers[0])
    mapping = f"{port}:{stage.service},policy=roundrobin,eject-base-time=3s"
    started_with(stage.gateway, workers, admin, "--map", mapping)
    begun = time.time()
    own_servers[0].kill()
    with admin.listening() as listener:
        listener.wait_for("joined")
        assert visits(port, 20) == {"anna": 20}
        ejected = listener.wait_for("ejected")
        assert ejected.data["upstream"] == id_of(dead)
        assert ejected.data["query"] == stage.service
        assert ejected.data["reason"] == "3 consecutive connect failures"
        shift = ejected.data["before"], ejected.data["after"]
        assert shift == ("serving", "ejected")
        row = admin.wait_for_standing(dead, "ejected")
        assert re.fullmatch(
            r"ejected \d s ago: 3 consecutive connect failures, back in \d s",
            row["reason"],
        )
        eventually(lambda: admin.upstreams()[dead]["connect_failures"] >= 3, "3")
        row = admin.upstreams()[dead]
        assert (row["open"], row["total"]) == (0, 0)
        assert begun - 1 < row["since"] <= time.time()
        assert admin.get("/readyz").code == 200
        text = admin.get("/metrics").body
        assert promtool(text) == "0"
        own_servers[0].start()
        own_servers[0].wait_until_listening()

        def is_trusted() -> bool:
            with held(port, 8):  # each worker tries it for itself, and gets a client
                pass
            return bool(admin.upstreams()[dead]["standing"] == "serving")

        eventually(is_trusted, "emil is restored")
        restored = listener.wait_for("restored")
        assert restored.data["upstream"] == id_of(dead)
        assert set(visits(port, 10)) == {"anna", "emil"}
    known = samples(text)
    standings = known["lbconsul_upstream_standing"]
    assert [k[2] for k, on in standings.items() if k[3] == id_of(dead) and on] == [
        "ejected"
    ]
    failures = known["lbconsul_upstream_connect_failures_total"]
    assert [v for k, v in failures.items() if k[2] == id_of(dead)] >= [3]


def test_why(stage: Stage, admin: AdminSide) -> None:
    """Of each instance one sees why it gets what it gets, in Consul's own words."""
    (port,) = free_ports(1)
    well = stage.add(stage.servers[0])
    ill = stage.add(stage.servers[1], Check=TOLD)
    maintained = stage.add(stage.servers[2])
    mapping = f"{port}:{stage.service},slow-start=1m,shrink-hold=1m"
    stage.gateway(f"--admin={admin.place}", "--map", mapping)
    assert {row["standing"] for row in admin.upstreams().values()} == {"serving"}
    with admin.listening() as listener:
        stage.registrar.maintain(maintained, True)
        row = admin.wait_for_standing(maintained, "draining")
        assert row["reason"] == "maintenance: spring cleaning"
        stage.registrar.check(ill, "fail")
        row = admin.wait_for_standing(ill, "draining")
        assert "critical: as told" in row["reason"]
        changed = listener.wait_for("changed")
        assert changed.data["upstream"] == id_of(maintained)
        assert "spring cleaning" in changed.data["reason"]
        shift = changed.data["before"], changed.data["after"]
        assert shift == ("passing", "maintenance")
        new = stage.add(stage.servers[3], Weights={"Passing": 10, "Warning": 1})
        row = admin.wait_for_standing(new, "warming")
        assert row["weight"] == 10
        assert row["effective_weight"] < 5
        assert listener.wait_for("joined").data["upstream"] == id_of(new)
        zero = {"lbconsul-weight": "0"}
        weightless = stage.add(stage.servers[2], Meta=zero, ID="w0")
        assert admin.wait_for_standing(weightless, "draining")["reason"] == "weight 0"
        stage.registrar.remove(new)
        assert listener.wait_for("left").data["upstream"] == id_of(new)
        eventually(lambda: new not in admin.upstreams(), "it is gone")
        stage.registrar.remove(well)
        row = admin.wait_for_standing(well, "suspect")
        assert row["reason"] == "deregistered"
        assert stage.service in listener.wait_for("suspect").data["query"]
    kinds = [row["standing"] for row in admin.upstreams().values()]
    assert sorted(kinds) == ["draining", "draining", "draining", "suspect"]


@WORKERS
def test_orders(stage: Stage, admin: AdminSide, token_file: Path, workers: str) -> None:
    """Only a client with the token can drain, undrain and eject an instance."""
    (port,) = free_ports(1)
    names = [server.name for server in stage.servers[:3]]
    anna, bert, _ = [stage.add(server) for server in stage.servers[:3]]
    mapping = f"{port}:{stage.service},policy=roundrobin"
    told = [f"--admin-token-file={token_file}", "--map", mapping]
    started = started_with(stage.gateway, workers, admin, *told)
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
        assert listener.wait_for("drained").data["upstream"] == id_of(anna)
        each_worker_shares(port, pids(started).values(), {"bert", "carl"})
        assert set(visits(port, 30)) == {"bert", "carl"}
        row = admin.upstreams()[anna]
        assert (row["standing"], row["reason"]) == ("draining", "drained by hand")
        assert row["open"] == 1
        assert kept.ask().startswith("anna")
        if workers != "1":  # and a worker's replacement knows it
            victim = pids(started)[2]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: pids(started)[2] != victim, "there is another one")
            assert set(visits(port, 20)) == {"bert", "carl"}
        assert admin.order("undrain", id_of(anna), TOKEN).code == 200
        assert listener.wait_for("undrained").data["upstream"] == id_of(anna)
        eventually(lambda: "anna" in visits(port, 6), "anna is back")
        assert admin.upstreams()[anna]["standing"] == "serving"
        assert admin.order("eject", id_of(bert), TOKEN).code == 200
        assert listener.wait_for("ejected").data["upstream"] == id_of(bert)
        each_worker_shares(port, pids(started).values(), {"anna", "carl"})
        assert set(visits(port, 20)) == {"anna", "carl"}
        row = admin.wait_for_standing(bert, "ejected")
        assert re.fullmatch(r"ejected \d s ago: by hand, back in \d+ s", row["reason"])
        for other, why in (
            (bert, "it is already ejected "),
            (anna, "2 of 3 upstreams serve;"),
        ):
            refused = admin.order("eject", id_of(other), TOKEN)
            assert refused.code == 409
            begin = f"{id_of(other)} cannot be ejected: {why}"
            assert refused.error.startswith(begin)
    assert started.find(r"ordered by 127\.0\.0\.1: drain dc1/test-node/")


def test_without_a_token_file(stage: Stage, admin: AdminSide) -> None:
    """
    Without a token file every change is refused, and the answer says how to allow them.
    """
    (port,) = free_ports(1)
    anna = stage.add(stage.servers[0])
    stage.gateway(f"--admin={admin.place}", "--map", f"{port}:{stage.service}")
    for token in (None, "", "any"):
        refused = admin.order("drain", id_of(anna), token)
        assert (refused.code, "--admin-token-file" in refused.error) == (403, True)
    assert admin.ask("POST", "/drain", "any").code == 403
    assert admin.upstreams()[anna]["standing"] == "serving"


#: Consul takes any of them for the id of a service.
ODD = [
    "a/b",
    "100%",
    "%2F%",
    "a b",
    "käse",
    "日本",
    "q\"u'o",
    "?x=1&y#z",
    "a;b+c",
    "..",
    ".",
]


def test_odd_ids(stage: Stage, admin: AdminSide, token_file: Path) -> None:
    """An instance can be drained whatever its id is."""
    (port,) = free_ports(1)
    for number, odd in enumerate(ODD):
        stage.registrar.add_elsewhere(
            f"odd-node-{number}", stage.service, stage.servers[0], ID=odd
        )
    told = [f"--admin={admin.place}", f"--admin-token-file={token_file}"]
    stage.gateway(*told, "--map", f"{port}:{stage.service}")
    known = admin.upstreams()
    assert sorted(known) == sorted(ODD)
    for odd in ODD:
        assert admin.order("drain", known[odd]["id"], TOKEN).code == 200
        assert admin.upstreams()[odd]["reason"] == "drained by hand"
    rows = samples(admin.get("/metrics").body)["lbconsul_upstream_weight"]
    assert {key[2] for key in rows} == {row["id"] for row in known.values()}


def test_resuming(stage: Stage, admin: AdminSide) -> None:
    """
    A client that was away for a while gets all events that it missed, and none twice.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.gateway(f"--admin={admin.place}", "--map", f"{port}:{stage.service}")
    with admin.listening() as listener:
        joined = listener.wait_for("joined")
        bert = stage.add(stage.servers[1])
        known = listener.wait_for("joined")
        assert (joined.data["upstream"], known.data["upstream"]) == (
            id_of(f"{stage.service}-anna"), id_of(bert),
        )  # fmt: skip
    stage.registrar.remove(bert)
    carl = stage.add(stage.servers[2])
    eventually(lambda: carl in admin.upstreams(), "carl is there")
    with admin.listening(since=known.id) as listener:
        listener.wait_for("joined")
        assert [each.data["kind"] for each in listener.heard] == ["left", "joined"]
        assert listener.heard[0].data["upstream"] == id_of(bert)
    with admin.listening(since="12345-7") as listener:
        assert "restarted" in listener.wait_for("reset").data["reason"]


def test_default_address(stage: Stage) -> None:
    """Where the default address is taken a gateway does without, and says so."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # another process has it
            taken.bind(("127.0.0.1", 9200))
            taken.listen()
        started = stage.gateway(
            "--admin-open-read=off", "--map", f"{port}:{stage.service}"
        )
        started.wait_for(
            r" warn cannot listen on 127\.0\.0\.1:9200 for --admin: "
            r"Address already in use; there is no status, .*--admin"
        )
        assert visit(port) == "anna"


def test_taken_address(tmp_path: Path) -> None:
    """An explicit admin address that is taken is one line of error."""
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        told = ["--admin", str(busy), "--map", f"{port}:nobody"]
        _, said = (ended := run_to_its_end(tmp_path, *told)).communicate(
            timeout=PATIENCE
        )
    assert said == (
        f"lbconsul: cannot listen on 127.0.0.1:{busy} for --admin:"
        " Address already in use\n"
    )
    assert ended.returncode == 1


def test_admin_off(stage: Stage) -> None:
    """With ``--admin off`` nothing but the mappings listens."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--admin", "off", "--map", f"{port}:{stage.service}")
    assert listens_on(started.pid) == {port}
    assert "for --admin" not in started.log()


def listens_on(pid: int) -> set[int]:
    """The ports of the TCP sockets on which a process listens."""
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:")}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and row[9] in sockets
    }


def test_unix_socket(stage: Stage, token_file: Path, tmp_path: Path) -> None:
    """A UNIX socket is its owner's alone, says all, and goes with the gateway."""
    (port,) = free_ports(1)
    anna = stage.add(stage.servers[0])
    path = tmp_path / "admin.sock"
    admin = AdminSide(str(path))
    told = [f"--admin-token-file={token_file}", "--map", f"{port}:{stage.service}"]
    started = started_with(stage.gateway, "2", admin, *told)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert admin.get("/readyz").code == 200
    assert admin.upstreams()[anna]["standing"] == "serving"
    assert admin.order("drain", id_of(anna)).code == 401
    assert admin.order("drain", id_of(anna), TOKEN).code == 200
    started.stop()
    assert not path.exists()


def test_takeover(stage: Stage, admin: AdminSide, tmp_path: Path) -> None:
    """
    A gateway that takes over has the same admin address soon, and is ready there,
    while the old one still has connections.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    told = ["--map", f"{port}:{stage.service}", f"--takeover={tmp_path / 'lb.sock'}"]
    old = started_with(stage.gateway, "2", admin, *told)
    with Visitor(port) as visitor:
        visitor.ask()
        place = f"--admin={admin.place}"
        new = stage.gateway(place, "--workers=2", *told, wait="listening")
        new.wait_for(r"taken over from the gateway at /")
        new.wait_for("status, metrics and a page: ")
        gateway = admin.status()["gateway"]
        assert (gateway["pid"], gateway["ready"]) == (new.pid, True)
        assert admin.get("/readyz").code == 200
        assert visitor.ask()
    old.wait_until_gone()
    assert admin.get("/readyz").code == 200
    assert visit(port) == "anna"


def shows(admin: AdminSide, names: list[str]) -> bool:
    """Whether these are the mappings of ``/status``."""
    return admin.names() == names


def test_reload(stage: Stage, admin: AdminSide, tmp_path: Path) -> None:
    """SIGHUP does not disturb open event streams, and the new mappings are shown."""
    old, new = free_ports(2)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"
    file.write_text(f"map = ['{old}:{stage.service}']\nadmin = '{admin.place}'\n")
    started = stage.gateway(
        "--config", str(file), "--workers=2", "--admin", str(admin.place)
    )
    all_serve(started, 2)
    kept = admin.connect()
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"alive\n"
    sock = kept.sock
    with admin.listening() as listener, Visitor(old) as visitor:
        visitor.ask()
        for mappings in (
            f"'{old}:{stage.service}', '{new}:{stage.service}'",
            f"'{new}:{stage.service}'",
        ):
            file.write_text(f"map = [{mappings}]\nadmin = 'off'\n")
            started.reload()
            assert "1 unchanged" in listener.wait_for("reloaded").data["text"]
            eventually(lambda: admin.get("/readyz").code == 200, "it is ready")
            names = [each.strip(" '") for each in mappings.split(",")]
            # A document may be one that was made shortly before.
            eventually(partial(shows, admin, names), "the mappings are shown")
        assert admin.status()["gateway"]["open"] == 1
    assert visit(new) == "anna"
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"alive\n"
    assert kept.sock is sock
    kept.close()


def test_no_token_is_told(stage: Stage, admin: AdminSide, token_file: Path) -> None:
    """No token is in the log, in what is shown, or in the process list."""
    (port,) = free_ports(1)
    anna = stage.add(stage.servers[0])
    secret = "c0nsul-s3cret-of-ours"
    told = ["--token", secret, f"--admin-token-file={token_file}"]
    started = started_with(
        stage.gateway, "2", admin, *told, "--map", f"{port}:{stage.service}"
    )
    wrong = "wr0ng-s3cret"
    with admin.listening() as listener:
        assert admin.order("drain", id_of(anna), TOKEN).code == 200
        assert admin.order("drain", id_of(anna), wrong).code == 401
        listener.wait_for("drained")
        seen = [str(listener.heard)]
    paths = ("/", "/status", "/metrics", "/readyz")
    seen += [admin.get(path).body for path in paths]
    processes = (started.pid, *pids(started).values())
    seen += [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes]
    assert admin.status()["gateway"]["options"]["token"] == "(hidden)"
    started.stop()
    seen.append(started.log())
    for text in seen:
        for each in (secret, TOKEN, wrong):
            assert each not in text


#: What `docs/reference.md` says of the lines of a log as JSON.
ALWAYS = {"time", "level", "source", "message"}
OF_A_CONNECTION = {
    "client", "mapping", "upstream", "received", "sent", "seconds", "retries",
    "termination",
}  # fmt: skip


@WORKERS
def test_log_as_json(
    stage: Stage, admin: AdminSide, token_file: Path, workers: str
) -> None:
    """With ``--log-format json`` each line is an object with the fields that are
    documented, from the first one to the last.
    """
    (port,) = free_ports(1)
    anna = stage.add(stage.servers[0])
    place = f"--admin={admin.place}"
    told = [place, "--log-format=json", f"--admin-token-file={token_file}"]
    mapping = f"{port}:{stage.service}"
    started = stage.gateway(
        *told, f"--workers={workers}", "--map", mapping, wait="listening"
    )
    eventually(lambda: not is_down(admin), "it can be asked")
    eventually(lambda: admin.get("/readyz").code == 200, "it is ready")
    assert visit(port) == "anna"
    assert admin.order("drain", id_of(anna), TOKEN).code == 200
    started.wait_for('"termination":')
    started.terminate()
    assert started.status() == 0
    rows = [json.loads(line) for line in started.log().splitlines()]
    assert all(row.keys() >= ALWAYS for row in rows)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert all(re.fullmatch(stamp, row["time"]) for row in rows)
    levels = {row["level"] for row in rows}
    assert levels <= {"debug", "info", "warn"}
    [over] = [row for row in rows if "termination" in row]
    assert over.keys() - {"worker"} == ALWAYS | OF_A_CONNECTION
    assert over["mapping"] == mapping
    assert over["upstream"] == f"{anna}@test-node 127.0.0.1:{stage.servers[0].port}"
    assert (over["received"], over["termination"], over["retries"]) == (ASKED, "--", 0)
    assert over["sent"] > 100
    assert over.get("worker") in ({None} if workers == "1" else {1, 2})
    [change] = [row for row in rows if "change" in row]
    assert (change["query"], change["total"]) == (stage.service, 1)
    assert anna in change["change"]
    [order] = [row for row in rows if "order" in row]
    assert order["client"] == "127.0.0.1"
    assert order["order"] == f"drain {id_of(anna)}"


def test_what_passes(stage: Stage, admin: AdminSide, token_file: Path) -> None:
    """What is for a while is shown to be over when it is, and an order that cannot be
    carried out changes nothing.
    """
    (port,) = free_ports(1)
    anna = stage.add(stage.servers[0])
    told = [f"--admin-token-file={token_file}", "--map"]
    mapping = f"{port}:{stage.service},slow-start=1500ms,shrink-hold=1s"
    started_with(stage.gateway, "2", admin, *told, mapping)
    assert admin.order("eject", id_of(anna), TOKEN).code == 409
    bert = stage.add(stage.servers[1], Weights={"Passing": 10, "Warning": 1})
    assert admin.wait_for_standing(bert, "warming")["effective_weight"] < 9
    assert admin.wait_for_standing(bert, "serving")["effective_weight"] == 10
    assert admin.upstreams()[anna]["standing"] == "serving"
    with admin.listening() as listener:
        stage.registrar.remove(anna)
        stage.registrar.remove(bert)
        listener.wait_for("suspect")
        assert listener.wait_for("confirmed").data["upstream"] == id_of(bert)
        eventually(lambda: bert not in admin.upstreams(), "that is believed")
    assert admin.get("/readyz").code == 200
