"""contrib/compose.yaml and lbconsul.nomad.hcl, as far as is possible without images."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2

from lbconsul.config.build import configure
from tests.support.binaries import REPOSITORY
from tests.support.gateway import environment
from tests.support.needed import needed

CONTRIB = REPOSITORY / "contrib"

#: How long a supervisor waits before it kills, by the docs: the defaults of
#: drain-timeout and shutdown-grace, and some seconds more.
PATIENCE = 310


def check(variables: Mapping[str, str], *command: str) -> None:
    """A gateway with this environment and command has a valid configuration."""
    assert command in ((), ("run",))
    ran = subprocess.run(
        [sys.executable, "-m", "lbconsul", "check"],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def run(*command: str | Path) -> str:
    """What a program prints, which must succeed."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_compose() -> None:
    """Compose takes the file, and the gateway its options; what is mounted exists."""
    file = CONTRIB / "compose.yaml"
    run(needed("docker-compose"), "-f", file, "config", "--quiet")
    text = file.read_text()
    variables = dict(
        re.findall(r'^ {6}(LBCONSUL_\w+): "?([^"\n]+)"?$', text, re.MULTILINE)
    )
    assert len(variables) == 4
    check(variables)
    mounted = re.findall(r'"?(\./[\w/]+):/\S+:ro"?', text)
    assert len(mounted) == 4
    assert [each for each in mounted if not (CONTRIB / each).is_dir()] == []


def test_consul_of_compose(consul_binary: str, tmp_path: Path) -> None:
    """Consul takes the services that its container is given."""
    own = tmp_path / "agent.json"
    own.write_text('{"data_dir": "/tmp"}')
    run(consul_binary, "validate", own, CONTRIB / "consul")


def test_prometheus_of_compose() -> None:
    """Prometheus takes its file, which names the alerts."""
    promtool = needed("promtool", "prometheus")
    said = run(promtool, "check", "config", CONTRIB / "prometheus" / "prometheus.yaml")
    assert "1 rule files found" in said


def _job() -> dict[str, Any]:
    with (CONTRIB / "lbconsul.nomad.hcl").open() as file:
        job: dict[str, Any] = _plain(hcl2.load(file))["job"][0]["lbconsul"]
    return job


def _plain(value: Any) -> Any:
    """Without the quotes that the parser leaves."""
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.strip('"') if isinstance(value, str) else value


def test_nomad() -> None:
    """The job parses; its gateway has valid options, a drain that is waited for, and a
    check of its readiness.
    """
    [group] = _job()["group"]
    gateway, service = (
        group["gateway"]["task"][0]["gateway"],
        group["gateway"]["service"],
    )
    [env], [config] = gateway["env"], gateway["config"]
    variables = {key: text for key, text in env.items() if key.startswith("LBCONSUL")}
    check(variables, *config["args"])
    assert gateway["kill_timeout"] == f"{PATIENCE}s"
    assert service[0]["check"][0]["path"] == "/readyz"
    assert variables["LBCONSUL_ADMIN"].endswith(
        f":{group['gateway']['network'][0]['port'][1]['admin']['static']}"
    )


def test_patience() -> None:
    """All supervisors wait for as long as the docs say, and as the defaults need."""
    mapping = configure([], ["80:web"]).mappings[0]
    assert mapping.drain.timeout < PATIENCE < mapping.drain.timeout + 15
    unit = (CONTRIB / "lbconsul@.service").read_text()
    assert f"\nTimeoutStopSec={PATIENCE}s\n" in unit
    assert f"stop_grace_period: {PATIENCE}s" in (CONTRIB / "compose.yaml").read_text()
