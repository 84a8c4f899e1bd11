"""A policy of an operator's own, with real processes."""

import os
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, visits
from tests.support.binaries import REPOSITORY
from tests.support.console import console
from tests.support.consul_agent import ConsulAgent
from tests.support.packages import FIRST, write_entry_point, write_module
from tests.support.ports import free_ports

pytestmark = pytest.mark.consul


def _path(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{folder}"}


def test_own_policy(stage: Stage, consul: ConsulAgent, tmp_path: Path) -> None:
    """
    It balances in the gateway's process and in workers, named in a file, by its module
    or its entry point. One with a mistake is refused by a reload, and the old one
    stays.
    """
    one, other = free_ports(2)
    for server in stage.servers[:2]:
        stage.add(server)
    module = write_module(tmp_path, FIRST)
    write_entry_point(tmp_path, "lbconsul.policies", "first", f"{module}:First")
    file = tmp_path / "lb.toml"

    def write(policy: str) -> None:
        file.write_text(
            f"consul = '127.0.0.1:{consul.port}'\nworkers = 2\npolicy = '{policy}'\n"
            f"map = ['{one}:{stage.service}', '{other}:{stage.service},policy=random']"
        )

    write(f"{module}:First")
    gateway = stage.gateway(f"--config={file}", env=_path(tmp_path))
    [first] = visits(one, 12)
    assert len(visits(other, 40)) == 2
    write(f"{module}:Last")
    gateway.reload()
    gateway.expect(
        rf"not reloaded: {one}:{stage.service}: policy={module}:Last: {module} has no"
        r" Last"
    )
    assert set(visits(one, 8)) == {first}
    write("first")
    gateway.reload()
    gateway.wait_for("reloaded: 0 added, 1 altered")
    eventually_shared(one, {first: 8})


def test_check(tmp_path: Path) -> None:
    """
    ``lbconsul check`` finds what is wrong with a policy. It does not take one from the
    working directory.
    """
    module = write_module(tmp_path, "class Own:\n    pass\n")
    words = ("check", "myconsul:8500", f"80:web,policy={module}:Own")
    status, _, said = console(*words, cwd=tmp_path)
    assert status == 1
    assert said == (
        f"lbconsul: 80:web: policy={module}:Own: there is no module {module}: modules"
        " are looked for among installed packages and in PYTHONPATH, not in the working"
        " directory\n"
    )
    status, _, said = console(*words, cwd=tmp_path, env=_path(tmp_path))
    assert status == 1
    assert said == (
        f"lbconsul: 80:web: policy={module}:Own: is no policy: the constructor raised"
        " TypeError: Own() takes no arguments\n"
    )
