"""How a worker process is started, and what it is given."""

import os
import re
import sys
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IProcessProtocol, IProcessTransport

from lbconsul.errors import NoWorkers
from lbconsul.workers.code_digest import PACKAGE, code_digest

#: Where a worker finds the stream to its master, the table, and the lane on which
#: listening sockets come.
CONTROL, TABLE, LANE = 3, 4, 5

#: The module that a worker runs.
MODULE = "lbconsul.workers"

#: The variables that a worker may have: none that can hold a secret.
_PASSED_ON = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|PYTHON\w*|LD_LIBRARY_PATH|VIRTUAL_ENV"
    r"|COVERAGE\w*|COV_\w+"
)


@frozen
class Program:
    """What every worker of a gateway is started as."""

    command: tuple[str, ...]
    environ: dict[str, str]


def worker_program() -> Program:
    """The same Python with the same modules that run here.

    :raises NoWorkers: there is no telling which.
    """
    if not sys.executable:
        raise NoWorkers(
            "workers cannot be started: Python does not know where it lies itself"
            " (sys.executable is empty)"
        )
    # -P: what lies in the working directory is none of its modules.
    command = (sys.executable, "-P", "-m", MODULE, code_digest())
    return Program(command, environment(os.environ, sys.path))


def environment(
    environ: AbstractMapping[str, str],
    path: Iterable[str],
    home: str = str(PACKAGE.parent),
) -> dict[str, str]:
    """A worker's: without secrets, and with the module `path` that we have.

    The working directory, which an empty word in it stands for, is part of it
    only if it is `home`, where our own package is.
    """
    kept = {key: text for key, text in environ.items() if _PASSED_ON.fullmatch(key)}
    words = [each for each in path if each or _is_here(home)]
    places = [os.path.abspath(each) for each in words]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))}


def _is_here(folder: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(os.curdir)


def spawn(
    reactor: Any,
    protocol: IProcessProtocol,
    program: Program,
    stream: int,
    table: int,
    lane: int,
) -> IProcessTransport:
    """Start a worker.

    It inherits these descriptors, of which `stream` and `lane` are its ends of
    those, and nothing else that is open.  What it prints as an error we read.

    :raises OSError: the machine has no room for it.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        given = [null, null, "r", stream, table, lane]
        process: IProcessTransport = reactor.spawnProcess(
            protocol,
            program.command[0],
            program.command,
            env=program.environ,
            childFDs=dict(enumerate(given)),
        )
    finally:
        os.close(null)
    return process
