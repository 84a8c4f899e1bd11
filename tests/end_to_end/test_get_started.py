"""docs/get-started.md: its commands do what it says, one after the other."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY
from tests.support.console import COMMAND
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, environment
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.consul

PAGE = (REPOSITORY / "docs" / "get-started.md").read_text()


class Reader:
    """Types what a part of the page has, on ports that are free."""

    def __init__(self, home: Path, part: str, **ports: int) -> None:
        section = PAGE.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
        #: What is still to be typed.
        self.lines: list[str] = re.findall(r"^ {4}(\S.*)", section, re.MULTILINE)
        self._ports = ports
        self._home = home
        (self._admin,) = free_ports(1)
        self._environment = environment({})

    def knows(self, consul: str, *folders: Path) -> None:
        """Where Consul is, and in which folders there are more commands."""
        path = ":".join(map(str, (*folders, COMMAND.parent, os.environ["PATH"])))
        place = {"LBCONSUL_CONSUL": consul, "CONSUL_HTTP_ADDR": consul}
        admin = {"LBCONSUL_ADMIN": str(self._admin)}
        self._environment = environment({**place, **admin, "PATH": path})

    def next_line(self) -> str:
        """The next line, with the ports that are free."""
        line: str = self.lines.pop(0)
        for port, own in self._ports.items():
            line = re.sub(rf"\b{port[1:]}\b", str(own), line)
        return line

    def types(self, begin: str) -> str:
        """Type the next line, which begins so; what it prints."""
        line = self.next_line()
        assert line.startswith(begin), line
        ended = subprocess.run(
            ["bash", "-c", line],
            cwd=self._home,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        return ended.stdout

    @contextmanager
    def gateway(self) -> Iterator[None]:
        """Type the next line, which runs a gateway."""
        line = self.next_line()
        assert line.startswith("lbconsul run ")
        words = line.split()[2:]
        admin = f"--admin={self._admin}"
        home = self._home / "gateway"
        home.mkdir()
        command = (str(COMMAND), "run")
        env = {
            key: value
            for key, value in self._environment.items()
            if key.startswith("LBCONSUL")
        }
        with Gateway(home, *words, admin, env=env, command=command, wait="listening"):
            yield


@pytest.fixture(autouse=True)
def _curl() -> None:
    needed("curl")


def test_without_consul(tmp_path: Path) -> None:
    """The catalog of --dev: answers of several servers, and one in maintenance."""
    mapping, consul = free_ports(2)
    reader = Reader(tmp_path, "2. Try it without Consul", _8080=mapping, _8500=consul)
    reader.knows(f"127.0.0.1:{consul}")
    with reader.gateway():
        first, second = (reader.types("curl ") for _ in range(2))
        assert first != second
        assert "webserver-1" in reader.types("lbconsul status")
        reader.types("curl -X PUT")
        again, reader.lines = reader.lines, []

        def drains() -> bool:
            reader.lines = list(again)
            shown = reader.types("lbconsul status")
            return bool(re.search(r"draining +webserver-1.*maintenance", shown))

        eventually(drains, "it is drained")
    assert reader.lines == []


def test_with_consul(tmp_path: Path, consul_binary: str) -> None:
    """A web server that is registered in a real Consul is checked, and served."""
    mapping, server = free_ports(2)
    reader = Reader(tmp_path, "3. With a Consul", _8080=mapping, _8001=server)
    assert reader.next_line() == "consul agent -dev"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "consul").symlink_to(consul_binary)
    (tmp_path / "hello").write_text("hello")
    serving = reader.next_line().replace("python3", sys.executable)
    with (
        ConsulAgent(consul_binary) as agent,
        subprocess.Popen(
            serving.split(), cwd=tmp_path, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            reader.knows(f"127.0.0.1:{agent.port}", tmp_path / "bin")
            reader.types("consul services register")
            assert "1 serving" in reader.types("lbconsul check --online")
            with reader.gateway():
                reader.lines.append(f"curl -sS --retry 9 localhost:{mapping}/hello")
                assert reader.types("curl") == "hello"
        finally:
            process.kill()
    assert reader.lines == []
