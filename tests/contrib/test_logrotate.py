"""contrib/lbconsul.logrotate, with logrotate itself."""

import os
import re
import subprocess
from pathlib import Path

from tests.end_to_end.registrar import Registrar
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import Load
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

CONFIG = REPOSITORY / "contrib" / "lbconsul.logrotate"


def test_rotates(
    consul: ConsulAgent, registrar: Registrar, servers: list[WebServer], tmp_path: Path
) -> None:
    """No line is lost when logrotate renames the file, twice, under load."""
    registrar.add("rotated", servers[0])
    (port,) = free_ports(1)
    logs = tmp_path / "log"
    logs.mkdir(mode=0o755)
    log = logs / "web.log"
    config = tmp_path / "lbconsul.logrotate"
    config.write_text(CONFIG.read_text().replace("/var/log/lbconsul", str(logs)))
    arguments = ["--consul", f"127.0.0.1:{consul.port}", "--map", f"{port}:rotated"]
    arguments += ["--log-file", str(log), "--log-file-size", "off"]
    with Gateway(tmp_path, *arguments, wait="started") as gateway:
        eventually(lambda: log.exists() and " all" in log.read_text(), "it is ready")
        with Load(port, 4) as load:
            for _ in range(2):
                load.more(100)
                _rotate(config, tmp_path)
                load.more(100)
            asked = load.stop()
        assert (asked.failed(), asked.wrong()) == ([], [])
        gateway.terminate()
        assert gateway.status() == 0
    assert sorted(os.listdir(logs)) == ["web.log", "web.log.1", "web.log.2.gz"]
    old = subprocess.run(
        ["zcat", logs / "web.log.2.gz"], capture_output=True, check=True
    )
    texts = [old.stdout.decode(), (logs / "web.log.1").read_text(), log.read_text()]
    lines = [len(re.findall(r" retries=0 ", each)) for each in texts]
    assert sum(lines) == len(asked)
    assert min(lines) > 0


def _rotate(config: Path, home: Path) -> None:
    command = [needed("logrotate"), "--force", "--state", str(home / "state")]
    subprocess.run([*command, str(config)], check=True, capture_output=True)
