"""The balancers that are compared, and the web servers behind them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from socket import create_connection

from attrs import define

from tests.support.consul_agent import ConsulAgent
from tests.support.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[1]

_NGINX = """
daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/error.log;
worker_rlimit_nofile 16000;
events {{ worker_connections 10000; }}
http {{
    access_log off; keepalive_requests 1000000000; sendfile on;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{ {listen} root {home}/www; }}
}}
"""

_HAPROXY = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    balance leastconn
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bench
    bind 127.0.0.1:{port}
{servers}
"""


@define
class Running:
    """A program under measurement."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of processor time that it has used, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of resident memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End it and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def web_servers(home: Path, count: int) -> tuple[Running, list[int]]:
    """nginx as `count` servers that give files of several sizes."""
    ports = free_ports(count)
    www = home / "www"
    www.mkdir()
    for name, size in (("small", 100), ("64k", 65536), ("100m", 100 << 20)):
        (www / name).write_bytes(b"x" * size)
    listen = " ".join(f"listen 127.0.0.1:{port} reuseport;" for port in ports)
    config = home / "nginx.conf"
    config.write_text(_NGINX.format(home=home, listen=listen))
    return _run("nginx", ports[0], ["nginx", "-c", str(config)]), ports


def haproxy(home: Path, servers: Sequence[int], splice: bool = False) -> Running:
    """HAProxy, one thread, leastconn over TCP."""
    (port,) = free_ports(1)
    lines = [f"    server s{n} 127.0.0.1:{p}" for n, p in enumerate(servers)]
    lines += ["    option splice-auto"] if splice else []
    name = "haproxy, splice" if splice else "haproxy"
    config = home / f"haproxy{splice:d}.cfg"
    config.write_text(_HAPROXY.format(port=port, servers="\n".join(lines)))
    return _run(name, port, ["haproxy", "-db", "-f", str(config)])


def lbconsul(consul: ConsulAgent, *options: str, name: str = "lbconsul") -> Running:
    """lbconsul as a process, on the service ``bench`` of a real Consul."""
    (port,) = free_ports(1)
    twistd = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", twistd, "-n", "--pidfile=", "lbconsul"]
    command += ["--consul", f"127.0.0.1:{consul.port}"]
    command += ["--map", f"127.0.0.1:{port}:bench", *options]
    return _run(name, port, command)


def register(consul: ConsulAgent, ports: Sequence[int]) -> None:
    """Register the web servers as instances of the service ``bench``."""
    for port in ports:
        consul.api(
            "PUT",
            "/v1/agent/service/register",
            {"Name": "bench", "ID": f"bench-{port}", "Port": port},
        )


def _run(name: str, port: int, command: Sequence[str]) -> Running:
    process = subprocess.Popen(
        command,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
    )
    for _ in range(200):
        try:
            create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(0.5)
            return Running(name, port, process)
    process.kill()
    raise RuntimeError(f"{name} does not listen")
