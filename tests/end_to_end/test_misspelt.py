"""A misspelt service, datacenter, tag or filter is logged loudly and early."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import run_to_its_end
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

#: The options behind the service's name, and the expected line.
SIDECAR = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "x"}}


@pytest.fixture
def admin() -> AdminSide:
    """The admin side of a gateway to come."""
    return AdminSide(free_ports(1)[0])


def not_ready(admin: AdminSide) -> str:
    """Why a gateway is not ready; empty if it is."""
    code, said = admin.get("/readyz")
    return said if code == 503 else ""


def test_kinds(stage: Stage, admin: AdminSide) -> None:
    """
    Each way to name nothing that exists is described as what it is, with a hint where
    there is one; no such gateway is ready.
    """
    stage.add(stage.servers[0], Tags=["v1", "v3"])
    ill = {"TTL": "1h", "Status": "warning"}
    stage.registrar.add(f"{stage.service}-ill", stage.servers[1], Check=ill)
    stage.registrar.add(f"{stage.service}-side", stage.servers[2], **SIDECAR)
    stage.registrar.maintain(
        stage.registrar.add(f"{stage.service}-off", stage.servers[3]), on=True
    )
    kinds = {
        f"{stage.service}x": (
            f"has no service {stage.service}x; did you mean {stage.service}?"
        ),
        f"{stage.service},dc=dc2": "Consul has no datacenter dc2; did you mean dc1?",
        f"{stage.service},tag=v2": "1 instance, none has tag v2; tags: v1, v3",
        f"{stage.service},filter=Service.Port == 1": "is kept by its filter",
        f"{stage.service}-ill,health=passing": "none usable: 1 warning; health=passing",
        f"{stage.service}-side": "its kind is connect-proxy",
        f"{stage.service}-off": "1 in maintenance",
    }
    ports = dict(zip(kinds, free_ports(len(kinds)), strict=True))
    told = [f"--map={port}:{kind}" for kind, port in ports.items()]
    started = stage.gateway(f"--admin={admin.place}", *told, wait="listening")
    for kind, why in kinds.items():
        mapping = f"{ports[kind]}:{kind.partition(',')[0]}"
        line = rf" warn {re.escape(mapping)}: no usable instance yet: .*"
        started.wait_for(line + re.escape(why))
    assert len(not_ready(admin).splitlines()) == len(kinds)
    rows = {each["name"]: each["empty"] for each in admin.status()["mappings"]}
    assert all(rows.values())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reload_and_ready(
    stage: Stage, admin: AdminSide, tmp_path: Path, workers: str
) -> None:
    """
    A gateway with a misspelt service is ready once that is mended; a typo in a later
    reload is logged loudly, and takes no serving gateway out of service.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"

    def write(name: str) -> None:
        file.write_text(f"map = ['{port}:{name}']\nadmin = '{admin.place}'\n")

    write(f"{stage.service}x")
    told = ["--config", str(file), f"--admin={admin.place}", f"--workers={workers}"]
    started = stage.gateway(*told)
    started.wait_for(r"no usable instance yet: .*did you mean")
    assert f"did you mean {stage.service}?" in not_ready(admin)
    write(stage.service)
    started.reload()
    eventually(lambda: not not_ready(admin), "it is ready")
    write(f"{stage.service}y")
    started.reload()
    started.wait_for(
        rf" warn {port}:{stage.service}y: no usable instance since the reload: .*"
        rf"did you mean {stage.service}\?"
    )
    assert not not_ready(admin)
    [mapping] = admin.status()["mappings"]
    assert f"did you mean {stage.service}?" in mapping["empty"]


def check(*told: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """``--check --online``: the status, and both outputs."""
    process = run_to_its_end(Path("/"), "--check", "--online", *told, env=env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_check_online(
    registrar: Registrar, servers: list[WebServer], consul: ConsulAgent, service: str
) -> None:
    """Consul is asked for each mapping: one line each, problems apart, with a hint."""
    registrar.add(service, servers[0], Tags=["v1"])
    ill = {"TTL": "1h", "Status": "critical"}
    registrar.add(service, servers[1], Check=ill)
    at = ["--consul", f"127.0.0.1:{consul.port}"]
    well = [
        f"81:{service},tag=v1",
        f"82:{service}z,allow-empty=on",
        "unix:/x:" + service,
    ]
    status, out, err = check(*at, *(f"--map={each}" for each in well))
    assert (status, err) == (0, "")
    assert f"  81:{service}: {service}: 1 serving, 1 without the tag" in out
    assert f"  unix:/x:{service}: {service}: 1 serving, 1 draining" in out
    bad = [f"83:{service}x", f"84:{service},dc=dc3", f"85:{service},tag=v2"]
    bad += [f"86:{service},when-empty=fallback=nobody-{service}"]
    status, out, err = check(*at, *(f"--map={each}" for each in (*well, *bad)))
    assert status == 1
    assert [line.partition(":")[0] for line in err.splitlines()] == ["lbconsul"] * 4
    for hint in (
        f"83:{service}x: Consul has no service {service}x; did you mean {service}?",
        f"84:{service}: Consul has no datacenter dc3; did you mean dc1?",
        f"85:{service}: {service}: 2 instances, none has tag v2; tags: v1",
        f"86:{service}: its fallback: Consul has no service nobody-{service}",
    ):
        assert f"lbconsul: {hint}" in err


def test_check_online_without_consul(consul: ConsulAgent) -> None:
    """A Consul that does not answer is one line, however many mappings there are."""
    (port,) = free_ports(1)
    told = ["--map=81:web", "--map=82:mail", f"--consul=127.0.0.1:{port}"]
    status, _, err = check(*told)
    assert (status, err.count("\n")) == (1, 1)
    assert f"Consul at http://127.0.0.1:{port} does not answer: " in err
    status, out, err = check(*told, "--consul", f"127.0.0.1:{consul.port}")
    assert (status, err.count("\n")) == (1, 3)
    assert f"Consul at http://127.0.0.1:{consul.port} answers" in out


def test_check_online_token(consul_binary: str) -> None:
    """A token that Consul does not know is reported, and not shown."""
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": "root"}}
    with ConsulAgent(consul_binary, extra_config={"acl": acl}) as agent:
        told = ["--map=81:web,allow-empty=on", f"--consul=127.0.0.1:{agent.port}"]
        status, _, err = check(*told, "--token", "s3cret-of-nobody")
        assert status == 1
        assert "Consul does not take the token: 403" in err
        assert "s3cret" not in err
        status, out, err = check(*told, env={"CONSUL_HTTP_TOKEN": "root"})
        assert (status, err) == (0, "")
        assert "Consul takes the token" in out


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            ["--online", "--map=80:web"],
            "--online: works only with --check: add it",
        ),
        (["--check", "--online", "--dev", "--map=80:web"], "--online: --dev has"),
    ],
)
def test_online_alone(told: list[str], why: str) -> None:
    """Without a service to ask for, --online is an error."""
    process = run_to_its_end(Path("/"), *told)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith(f"lbconsul: {why}")
