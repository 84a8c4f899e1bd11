"""The choice of a gateway's data plane: in this process alone, or with workers."""

import os
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from lbconsul.config.model import MOST_WORKERS, Config
from lbconsul.errors import NoWorkers
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.proxy.data_plane import DataPlaneObserver, LocalDataPlane


def make_data_plane(
    reactor: Any,
    config: Config,
    chance: Callable[[], float],
    inherited: AbstractMapping[str, int],
    observer: DataPlaneObserver,
    lines: ConnectionLines | None = None,
) -> DataPlane:
    """The data plane for a configuration, without a mapping.

    It has as many workers as `config` says, or one for each core; a single one is this
    process.  `inherited` are descriptors of listening sockets, by name and address.
    `lines` writes the access log; without it each connection is a log event.

    :raises NoWorkers: worker processes cannot be used on this system.
    """
    count = config.workers or min(_cores(), MOST_WORKERS)
    sockets, log = ListeningSockets(inherited), config.connection_log
    if count == 1:
        return LocalDataPlane(
            reactor, chance, observer, sockets, log, connection_writer=lines
        )
    # Imported here: a gateway of one process does not need it.
    from lbconsul.workers.data_plane import WorkerDataPlane

    try:
        return WorkerDataPlane(reactor, count, chance, observer, sockets, log, lines)
    except OSError as error:
        raise NoWorkers(
            f"--workers {count}: cannot create the workers' shared table:"
            f" {error.strerror or error}"
        ) from None


def _cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
