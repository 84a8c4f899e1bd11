"""Free ports, for programs that need a fixed one."""

import os
import random
import socket
from contextlib import ExitStack

#: Below the range from which Linux serves port 0 and outgoing connections
#: (32768 to 60999), so that no process is handed a port between our asking and its
#: use, or while a restarted program is away from it.
_RANGE = range(20000, 32000)


def _share(worker: str, workers: str) -> range:
    """The part of the range that is one worker's of pytest-xdist: "gw1" of "3"."""
    return _RANGE[int(worker.removeprefix("gw")) % int(workers) :: int(workers)]


#: Those that this process may hand out.
CANDIDATES = _share(
    os.environ.get("PYTEST_XDIST_WORKER", "gw0"),
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"),
)

#: What was handed out already: its taker may not have bound it yet, or may be
#: about to bind it again.
_handed_out: set[int] = set()


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """That many ports, free for TCP and UDP a moment ago; none is given out twice."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(CANDIDATES, len(CANDIDATES)):
            if len(found) == count:
                _handed_out.update(found)
                return found
            if port in _handed_out:
                continue
            if _hold(held, host, port):
                found.append(port)
    raise RuntimeError(f"fewer than {count} free ports on {host}")


def _hold(held: ExitStack, host: str, port: int) -> bool:
    """Bind the port for TCP and UDP until `held` ends, if it is free for both."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = held.enter_context(socket.socket(family, kind))
        try:
            bound.bind((host, port))
        except OSError:
            return False
    return True
