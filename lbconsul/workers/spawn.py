"""Starts a worker process with its descriptors and environment."""

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

#: A worker's descriptors: the stream to the master, the table, and the channel on which
#: listening sockets are passed.
CONTROL, TABLE, FD_CHANNEL = 3, 4, 5

#: The module that a worker runs.
MODULE = "lbconsul.workers"

#: The environment variables passed to a worker: none that can hold a secret.
_PASSED_ON = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|PYTHON\w*|LD_LIBRARY_PATH|VIRTUAL_ENV"
    r"|COVERAGE\w*|COV_\w+"
)


@frozen
class Program:
    """The command and environment with which a gateway starts its workers."""

    command: tuple[str, ...]
    environ: dict[str, str]


def worker_program() -> Program:
    """The Python and the modules of this process.

    :raises NoWorkers: they cannot be determined.
    """
    if not sys.executable:
        raise NoWorkers(
            "workers cannot be started: sys.executable is empty, so Python's path is"
            " unknown"
        )
    # -P: modules in the working directory are not to be imported.
    command = (sys.executable, "-P", "-m", MODULE, code_digest())
    return Program(command, environment(os.environ, sys.path))


def environment(
    environ: AbstractMapping[str, str],
    path: Iterable[str],
    home: str = str(PACKAGE.parent),
) -> dict[str, str]:
    """A worker's environment: without secrets, and with this process's module `path`.

    The working directory, for which an empty entry stands, is included only if it is
    `home`, the directory of this package.
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
    fd_channel: int,
) -> IProcessTransport:
    """Start a worker.

    It inherits these descriptors and no others; `stream` and `fd_channel` are the
    worker's ends.  The master reads its standard error.

    :raises OSError: the machine lacks the resources.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        given = [null, null, "r", stream, table, fd_channel]
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
