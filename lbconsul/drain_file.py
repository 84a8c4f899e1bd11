"""What an operator has drained, on disk, for the time after a restart."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from lbconsul.balance.instance import Identity

#: Drained registrations, each with Consul's CreateIndex.
Drained = Mapping[Identity, int]

#: The version of the format.
_VERSION = 1

#: No more are drained at a time, nor kept here.
MOST = 1000

#: A part of an identity is no longer, in characters.
LONGEST = 255

#: A longer file is none of ours, in bytes: each character may be six of JSON's.
_MOST_BYTES = MOST * (3 * LONGEST * 6 + 100)


def to_rows(drained: Drained) -> list[list[str | int]]:
    """As JSON can hold it."""
    return [[*identity, created] for identity, created in drained.items()]


def from_rows(rows: Any) -> dict[Identity, int]:
    """What was made of it.

    :raises ValueError: it is none of that.
    """
    if not isinstance(rows, list) or len(rows) > MOST:
        raise ValueError(f"it is no list of {MOST} at most")
    found = {}
    for row in rows:
        match row:
            case [str(datacenter), str(node), str(service_id), int(created)] if (
                created >= 0 and max(map(len, row[:3])) <= LONGEST
            ):
                found[Identity(datacenter, node, service_id)] = created
            case _:
                raise ValueError("a row is no drained registration")
    return found


@define(eq=False)
class DrainFile:
    """A file of a state directory, its owner's only and replaced as a whole.

    It is written in a thread, one version after the other, so that no disk holds the
    reactor.  Whatever is wrong with it is logged, and the gateway goes on without.
    """

    _log = Logger()
    _reactor: Any
    _directory: Path
    #: What is to be written when the thread is free, and who is told when it is.
    _next: Drained | None = None
    _writing: Deferred[None] | None = None
    _waiting: list[Deferred[None]] = Factory(list)
    _is_failing: bool = False
    #: Runs a function in a thread.
    _run: Callable[[Callable[[], None]], Deferred[None]] = Factory(
        lambda self: self._in_thread, takes_self=True
    )

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._directory / "drained.json"

    def read(self) -> dict[Identity, int]:
        """What was drained when it was written last; nothing if it cannot be had."""
        try:
            said = json.loads(_content(self.path))
            if said["lbconsul drained"] != _VERSION:
                raise ValueError(f"it is of version {said['lbconsul drained']!r}")
            return from_rows(said["drained"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._complain("cannot be used, and nothing is drained", error)
            return {}

    def keep(self, drained: Drained) -> None:
        """Write this, soon; what waits to be written is obsolete."""
        self._next = dict(drained)
        self._turn()

    def stop(self) -> Deferred[None]:
        """Fires when all is written."""
        if self._writing is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _turn(self) -> None:
        if self._writing is not None:
            return
        drained, self._next = self._next, None
        if drained is None:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            return
        said = {"lbconsul drained": _VERSION, "drained": to_rows(drained)}
        data = json.dumps(said).encode()
        self._writing = self._run(lambda: _replace(self.path, data))
        self._writing.addCallbacks(self._written, self._failed)
        self._writing.addCallback(self._done)

    def _in_thread(self, function: Callable[[], None]) -> Deferred[None]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function)

    def _written(self, _: None) -> None:
        self._is_failing = False

    def _failed(self, failure: Any) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._complain("cannot be written: a restart loses drains", failure.value)

    def _done(self, _: None) -> None:
        self._writing = None
        self._turn()

    def _complain(self, what: str, error: Exception) -> None:
        self._log.warn(
            "{path} {what}: {error}",
            path=str(self.path),
            what=what,
            error=getattr(error, "strerror", None)
            or str(error)
            or type(error).__name__,
        )


def _content(path: Path) -> bytes:
    """What is in a file of ours; anything else, such as a FIFO, is not opened."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        known = os.fstat(file.fileno())
        if not stat.S_ISREG(known.st_mode) or known.st_uid not in (os.geteuid(), 0):
            raise ValueError("it is no regular file of ours")
        if known.st_size > _MOST_BYTES:
            raise ValueError("it is too long")
        return file.read(_MOST_BYTES)


def _replace(path: Path, data: bytes) -> None:
    """Called in a thread."""
    new = path.with_suffix(".new")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new.unlink(missing_ok=True)  # its permissions might be other ones
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(new, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
