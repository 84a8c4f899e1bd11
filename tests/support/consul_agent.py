"""A real Consul agent, for one test or for all of them."""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import kept_logs
from tests.support.http_api import Answer, ask
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

#: How long an agent may take to elect itself and to call itself healthy, in
#: seconds.  A dev agent takes a quarter of a second, one that comes back from
#: a kill with its data about three, and a busy CI machine takes its time.
READY = PATIENCE

NODE = "test-node"


class ConsulAgent:
    """One agent that is its own server, on ports of 127.0.0.1 that it keeps.

    By default it is a dev agent: quick, and forgetful when it ends.  With
    `persistent` it keeps what it knows on disk, so that it survives `kill` and
    `restart`; then it may `expect` others, who become a cluster once they have
    joined each other at their `gossip_port`.  What `extra_config` says is merged
    over the configuration; a `cert_file` in it turns on HTTPS on `https_port`, and
    the master token of its ACLs is the one that `api` shows.
    """

    def __init__(
        self,
        binary: str,
        *,
        persistent: bool = False,
        expect: int = 1,
        extra_config: Mapping[str, Any] | None = None,
    ) -> None:
        extra = dict(extra_config or {})
        self.port, self.https_port, self.gossip_port, self._server = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self.node = extra.get("node_name", NODE)
        self.token = extra.get("acl", {}).get("tokens", {}).get("master")
        self.home = Path(tempfile.mkdtemp(prefix="lbconsul-consul-"))
        config = _merged(self._config("cert_file" in extra), extra)
        (self.home / "config.json").write_text(json.dumps(config))
        mode = [
            "-server",
            f"-bootstrap-expect={expect}",
            f"-data-dir={self.home / 'data'}",
        ]
        self._command = [binary, "agent", "-config-file", f"{self.home}/config.json"]
        self._command += mode if persistent else ["-dev"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Run it, which does not wait for it."""
        kept_logs.began(self._output)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self, timeout: float = READY) -> None:
        """Return once it leads itself and its own node is registered and passing."""
        end = time.monotonic() + timeout
        while not self._is_ready():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"Consul ended by itself; its log:\n{self.log()}")
            if time.monotonic() > end:
                raise RuntimeError(f"Consul is not ready; its log:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an operator would, and wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would: kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Run it again on the same ports, killing it first if it still runs."""
        self.kill()
        self.start()
        self.wait_until_ready()

    def pause(self) -> None:
        """Freeze it: its sockets stay open, but it does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a `pause`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, if it runs, and remove its files."""
        self.kill()
        kept_logs.ended(self._output)
        shutil.rmtree(self.home, ignore_errors=True)

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask it one question: (status, headers, parsed JSON or text)."""
        own = {"X-Consul-Token": self.token} if self.token else {}
        return ask(self.port, method, path, body, {**own, **(headers or {})})

    def log(self, lines: int = 60) -> str:
        """The last lines of what it printed."""
        output = self._output
        text = output.read_text(errors="replace") if output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    @property
    def _output(self) -> Path:
        return self.home / "output.log"

    def _config(self, https: bool) -> dict[str, Any]:
        ports = {"http": self.port, "https": self.https_port if https else -1}
        inner = {"serf_lan": self.gossip_port, "server": self._server, "serf_wan": -1}
        return {
            "node_name": self.node,
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {**ports, **inner, "dns": -1, "grpc": -1},
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "log_level": "INFO",
        }

    def _is_ready(self) -> bool:
        try:
            _, _, leader = self.api("GET", "/v1/status/leader")
            status, _, checks = self.api("GET", f"/v1/health/node/{self.node}")
        except OSError:
            return False
        return bool(leader) and status == 200 and _alive(checks)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(how)
        self.resume()
        self._process.wait(READY)
        self._process = None

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(which)


def _alive(checks: list[dict[str, Any]]) -> bool:
    return any(
        check["CheckID"] == "serfHealth" and check["Status"] == "passing"
        for check in checks
    )


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both configurations, `above` winning, one level of nesting respected."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], Mapping):
            merged[key] = {**below[key], **above[key]}
    return merged
