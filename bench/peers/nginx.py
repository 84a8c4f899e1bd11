"""nginx's stream module, one worker, least_conn."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.processes import Program, start
from bench.stage import Stage
from tests.support.ports import free_ports

#: Where distributions put the module, if it is not built in.
_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_stream_module.so"),
)

_CONFIG = """
{load}
daemon off; worker_processes 1; pid {home}/stream.pid; error_log {home}/stream.err;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {descriptors}; }}
stream {{
    proxy_timeout 1h; tcp_nodelay on;
{sections}
}}
"""

_SERVER = """
    upstream bench {{ {servers} }}
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass bench; }}
"""


def load_line() -> str | None:
    """The line that loads the module: empty if built in, None if there is none."""
    for module in _MODULES:
        if module.exists():
            return f"load_module {module};"
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True).stderr
    return "" if "--with-stream" in built.split() else None


def nginx(stage: Stage, connections: int) -> Program:
    """nginx as a TCP balancer."""
    (port,) = free_ports(1)
    sections = _SERVER.format(port=port, servers=servers(stage.ports))
    return start_nginx(stage, connections, port, sections)


def servers(ports: Sequence[int]) -> str:
    """What stands in an ``upstream``."""
    return " ".join(("least_conn;", *(f"server 127.0.0.1:{port};" for port in ports)))


def start_nginx(stage: Stage, connections: int, port: int, sections: str) -> Program:
    """nginx with this within ``stream``, which listens at `port`, perhaps at others."""
    config = stage.home / "stream.conf"
    config.write_text(
        _CONFIG.format(
            load=load_line(),
            home=stage.home,
            # One for the client and one for the upstream.
            descriptors=2 * connections + 100,
            sections=sections,
        )
    )
    return start("nginx stream", port, ["nginx", "-c", str(config)], stage.home)
