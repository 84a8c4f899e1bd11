"""How a worker process is started, and what it is given."""

import os
import re
import socket
import sys
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AbstractMapping
from contextlib import ExitStack
from typing import Any

from twisted.internet.interfaces import IProcessProtocol, IProcessTransport

#: Where a worker finds the stream to its master, the table, and then the
#: listening sockets.
CONTROL, TABLE, FIRST_SOCKET = 3, 4, 5

#: The module that a worker runs.
MODULE = "lbconsul.worker"

#: Variables that a worker has no use for and that others must not read there:
#: Consul's, whatever is named like a secret, and what systemd tells its child.
_WITHHELD = re.compile(
    r"CONSUL|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|_KEY$|_AUTH$"
    r"|^LISTEN_(PID|FDS|FDNAMES)$|^NOTIFY_SOCKET$|^WATCHDOG_",
    re.IGNORECASE,
)


def environment(
    environ: AbstractMapping[str, str], path: Iterable[str]
) -> dict[str, str]:
    """A worker's: without secrets, and with the module `path` that we have."""
    kept = {key: text for key, text in environ.items() if not _WITHHELD.search(key)}
    places = [os.path.abspath(each) for each in path]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))}


def spawn(
    reactor: Any,
    protocol: IProcessProtocol,
    environ: AbstractMapping[str, str],
    table: int,
    sockets: Sequence[int],
) -> tuple[IProcessTransport, socket.socket]:
    """Start a worker; its process, and our end of the stream to it.

    It inherits the descriptors of the table and of the sockets, and nothing
    else that is open, but for where we print to.

    :raises OSError: the machine has no room for it.
    """
    # -P: what lies in the working directory is none of its modules.
    command = [sys.executable, "-P", "-m", MODULE]
    with ExitStack() as held:
        ours, theirs = map(held.enter_context, socket.socketpair())
        null = held.enter_context(open(os.devnull))
        ours.setblocking(False)
        given = [null.fileno(), 1, 2, theirs.fileno(), table, *sockets]
        process = reactor.spawnProcess(
            protocol,
            command[0],
            command,
            env=dict(environ),
            childFDs=dict(enumerate(given)),
        )
        return process, ours.dup()
