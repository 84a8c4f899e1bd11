"""Free ports, for programs that need a fixed one."""

import fcntl
import os
import random
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

#: Below the range from which Linux serves port 0 and outgoing connections
#: (32768 to 60999), so that no process is handed a port between our asking and its
#: use, or while a restarted program is away from it.
_RANGE = range(20000, 32000)

#: Processes of tests share the range by blocks of so many ports: those of one run, and
#: those of others on this machine.
_SIZE = 100

#: The locks of blocks, each held to the end of the process that has the block.
LOCKS = Path(tempfile.gettempdir()) / f"lbconsul-ports-{os.getuid()}"

#: The blocks of this process, whose locks stay open; the first was handed out first.
_own: list[range] = []

#: What was not handed out yet of the blocks of this process: what was may not be bound
#: yet, or be about to be bound again.
_left: list[int] = []


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """That many ports, free for TCP and UDP a moment ago; none is given out twice."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            if not _left:
                _take_block()
            port = _left.pop()
            if _hold(held, host, port):
                found.append(port)
    return found


def _take_block() -> None:
    """Have a block that no other process has; if there is none, the oldest of ours.

    :raises RuntimeError: there is none.
    """
    LOCKS.mkdir(exist_ok=True)
    blocks = list(range(_RANGE.start, _RANGE.stop, _SIZE))
    for first in random.sample(blocks, len(blocks)):
        # Programs that the tests start do not inherit it.
        lock = os.open(LOCKS / str(first), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _own.append(range(first, first + _SIZE))
        break
    else:
        if not _own:
            raise RuntimeError("other tests on this machine have all ports")
        _own.append(_own.pop(0))
    _left.extend(random.sample(_own[-1], _SIZE))


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
