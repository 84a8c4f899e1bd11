"""A real Prometheus, which scrapes gateways each second."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from tests.support import kept_logs
from tests.support.needed import needed
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually

_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: lbconsul
    static_configs: [{{targets: [{targets}]}}]
"""


class Prometheus:
    """Runs as a context manager; `rules` is a file with alerts."""

    def __init__(self, home: Path, *targets: str, rules: Path | None = None) -> None:
        (self.port,) = free_ports(1)
        self._home = home
        home.mkdir()
        text = _CONFIG.format(targets=", ".join(targets), rules=rules or "")
        (home / "prometheus.yaml").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        log = self._home / "prometheus.log"
        kept_logs.began(log)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    needed("prometheus"),
                    f"--config.file={self._home}/prometheus.yaml",
                    f"--storage.tsdb.path={self._home}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(self._is_ready, "Prometheus is ready")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        kept_logs.ended(self._home / "prometheus.log")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None
        try:
            return bool(self.query("up"))
        except OSError:
            return False

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def get(self, path: str, **parameters: str) -> Any:
        """The data that its API answers with.

        :raises OSError: it does not answer, or with an error.
        """
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an expression now."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def fired(self) -> set[str]:
        """The names of the alerts that fire, or did in the last minutes."""
        past = 'count by (alertname) (last_over_time(ALERTS{alertstate="firing"}[5m]))'
        return {each["metric"]["alertname"] for each in self.query(past)}

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name; of several with one name any."""
        alerts = self.get("alerts")["alerts"]
        firing = [each for each in alerts if each["state"] == "firing"]
        return {each["labels"]["alertname"]: each for each in firing}
