"""HAProxy, one thread, leastconn over TCP; with splice or with a log, too."""

from collections.abc import Sequence

from bench.processes import Program, start
from bench.stage import Stage
from tests.support.ports import free_ports

_CONFIG = """
global
    nbthread 1
    maxconn {connections}
    # Its default, a quarter of maxconn, takes more descriptors than there may be.
    maxpipes 200
{log}
defaults
    mode {mode}
    balance leastconn
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    maxconn {connections}
{options}
{sections}
"""

#: Where to log: to a file, as ours does.
TO_STDOUT = "    log stdout format raw local0"

_LISTEN = """
listen bench
    bind 127.0.0.1:{port} backlog 4096
{servers}
"""


def haproxy(stage: Stage, connections: int) -> Program:
    """HAProxy as it comes."""
    return _run(stage, connections, "haproxy")


def haproxy_splice(stage: Stage, connections: int) -> Program:
    """HAProxy that splices where it thinks that it pays."""
    return _run(stage, connections, "haproxy, splice", "    option splice-auto")


def haproxy_tcplog(stage: Stage, connections: int) -> Program:
    """HAProxy that writes a line for each connection, to a file as ours does."""
    return _run(
        stage,
        connections,
        "haproxy, tcplog",
        "    option tcplog\n    log global",
        TO_STDOUT,
    )


def _run(
    stage: Stage, connections: int, name: str, options: str = "", log: str = ""
) -> Program:
    (port,) = free_ports(1)
    sections = _LISTEN.format(port=port, servers=servers(stage.ports))
    return start_haproxy(stage, connections, name, port, sections, options, log)


def servers(ports: Sequence[int], options: str = "") -> str:
    """The lines of a section that name its servers."""
    lines = [f"    server s{n} 127.0.0.1:{p} {options}" for n, p in enumerate(ports)]
    return "\n".join(lines)


def start_haproxy(
    stage: Stage,
    connections: int,
    name: str,
    port: int,
    sections: str,
    options: str = "",
    log: str = "",
    mode: str = "tcp",
) -> Program:
    """HAProxy with these sections, which listen at `port` and perhaps at others."""
    config = stage.home / f"{name}.cfg"
    config.write_text(
        _CONFIG.format(
            connections=connections,
            mode=mode,
            options=options,
            log=log,
            sections=sections,
        )
    )
    return start(name, port, ["haproxy", "-db", "-f", str(config)], stage.home)
