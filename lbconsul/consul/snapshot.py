"""Keeps the last good answer on disk, for a start while Consul is unavailable."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.consul.client import BODY_LIMIT
from lbconsul.process.clock import WallClock
from lbconsul.process.state_dir import Disk, StateDir
from lbconsul.text import one_line

#: The version of the format, which the first line states.
_VERSION = 1

#: The shortest interval between two writes, in seconds, and the most bytes a second,
#: so large answers are written less often.
INTERVAL = 5.0
_RATE = 1 << 20

#: An unchanged answer is written again after this time, in seconds: its age counts
#: from Consul's last confirmation.
REFRESH = 60.0

#: The longest first line, in bytes.
_HEAD = 1 << 16


@frozen
class Kept:
    """A kept answer: its body, and the time of Consul's last confirmation.

    The time is in seconds since the epoch.
    """

    body: bytes
    time: float


@define(eq=False)
class SnapshotStore:
    """The snapshot files of a gateway; logs when writing begins to fail."""

    _log = Logger()
    _clock: IReactorTime
    path: Path
    wall: WallClock = Factory(
        lambda self: WallClock(self._clock.seconds), takes_self=True
    )
    _disk: Disk = Factory(lambda self: Disk(self._clock), takes_self=True)
    _files: StateDir = Factory(lambda self: StateDir(self.path), takes_self=True)
    _is_failing: bool = False

    def read(self, name: str) -> Deferred[bytes | None]:
        """The content of a file; None if it does not exist."""
        return self._disk.run(lambda: self._files.read(name, BODY_LIMIT + _HEAD))

    def write(self, name: str, pieces: Iterable[bytes]) -> Deferred[bool]:
        """Write a file; fires with whether it succeeded.

        Failures of all files in a row are logged once.
        """
        written = self._disk.run(lambda: self._files.replace(name, pieces))
        return written.addCallbacks(self._written, self._failed)

    def rename(self, name: str, other: str) -> Deferred[None]:
        """Rename a file."""
        return self._disk.run(lambda: self._files.rename(name, other))

    def stop(self) -> Deferred[None]:
        """Fires when all is written, or after `state_dir.PATIENCE`."""
        return self._disk.idle()

    def _written(self, _: None) -> bool:
        self._is_failing = False
        return True

    def _failed(self, failure: Failure) -> bool:
        failure.trap(OSError)
        if not self._is_failing:
            self._is_failing = True
            self._log.warn(
                "--state-dir {path}: snapshots cannot be written: {error}; a start"
                " while Consul is away would have old ones or none",
                path=str(self.path),
                error=_reason(failure.value),
            )
        return False


@define(eq=False)
class Snapshot:
    """The last good answer to one query, in a file.

    The first line of the file has its version, query, time and checksum; the rest is
    Consul's body.  An invalid file is logged and renamed, and the gateway starts
    without it.
    """

    _log = Logger()
    _clock: IReactorTime
    _store: SnapshotStore
    _query: ServiceQuery
    #: The last body from Consul, and when it came, in the clock's seconds.
    _latest: bytes | None = None
    _confirmed: float = 0.0
    #: The body that was written last, and when it came.
    _written: bytes | None = None
    _written_at: float = 0.0
    _is_writing: bool = False
    #: The end of the pause after a write.
    _pause: IDelayedCall | None = None
    _is_over: bool = False

    @property
    def name(self) -> str:
        """The file's name: the service, for people, and a digest of the whole query."""
        name = re.sub(r"[^\w.-]", "_", self._query.service)[:100]
        digest = hashlib.sha256(repr(self._query).encode()).hexdigest()[:16]
        return f"{name}-{digest}.snapshot"

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._store.path / self.name

    def read(self, use: Callable[[Kept], None]) -> None:
        """Read the file, and call `use` with its answer if there is a valid one."""
        self._store.read(self.name).addCallbacks(
            self._use, self._complain, (use,), {}, ("cannot be read",), {}
        )

    def age(self, kept: Kept) -> float:
        """The age of an answer in seconds; 0 if the wall clock was set back past it."""
        return self._store.wall.age(kept.time)

    def _use(self, data: bytes | None, use: Callable[[Kept], None]) -> None:
        if data is None:
            return
        try:
            kept = self._parse(data)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.set_aside(error)
        else:
            use(kept)

    def _parse(self, data: bytes) -> Kept:
        head, _, body = data.partition(b"\n")
        header: Any = json.loads(head)
        if header["lbconsul snapshot"] != _VERSION:
            raise ValueError(f"unknown version {header['lbconsul snapshot']!r}")
        if header["question"] != str(self._query):
            raise ValueError("it belongs to another query")
        if header["sha256"] != hashlib.sha256(body).hexdigest():
            raise ValueError("its checksum is wrong")
        return Kept(body, float(header["time"]))

    def set_aside(self, why: Exception) -> None:
        """Rename an unusable snapshot to ``.broken``, and keep it for the operator."""
        self._log.warn(
            "{query}: snapshot {path} is unusable: {why}; renamed to .broken",
            query=str(self._query),
            path=str(self.path),
            why=one_line(str(why), 300) or type(why).__name__,
        )
        other = f"{self.name.removesuffix('.snapshot')}.broken"
        renamed = self._store.rename(self.name, other)
        renamed.addErrback(self._complain, "cannot be renamed")

    def keep(self, body: bytes) -> None:
        """Consul answered this, changed or not: write it now, or after the pause."""
        self._latest, self._confirmed = body, self._clock.seconds()
        if not self._is_writing and self._pause is None and self._is_due():
            self._write()

    def stop(self) -> None:
        """Write the last answer if it is newer than the file."""
        self._is_over = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._latest is not None and self._confirmed > self._written_at:
            self._write()

    def _is_due(self) -> bool:
        if self._latest != self._written:
            return True
        return self._confirmed - self._written_at >= REFRESH

    def _write(self) -> None:
        body, confirmed = self._latest, self._confirmed
        assert body is not None
        self._is_writing = True
        time = self._store.wall.at(confirmed)
        written = self._store.write(self.name, self._pieces(body, time))
        written.addCallback(self._done, body, confirmed)

    def _pieces(self, body: bytes, time: float) -> Iterator[bytes]:
        head = {
            "lbconsul snapshot": _VERSION,
            "question": str(self._query),
            "time": time,
            "sha256": hashlib.sha256(body).hexdigest(),  # slow, so in the disk's thread
        }
        yield json.dumps(head).encode() + b"\n"
        yield body

    def _done(self, is_written: bool, body: bytes, confirmed: float) -> None:
        self._is_writing = False
        if is_written:
            self._written, self._written_at = body, confirmed
        if not self._is_over:
            pause = max(INTERVAL, len(body) / _RATE)
            self._pause = self._clock.callLater(pause, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self._is_due():
            self._write()

    def _complain(self, failure: Failure, what: str) -> None:
        failure.trap(OSError)
        self._log.warn(
            "{query}: snapshot {path} {what}: {error}",
            query=str(self._query),
            path=str(self.path),
            what=what,
            error=_reason(failure.value),
        )


def _reason(error: BaseException | None) -> str:
    return getattr(error, "strerror", None) or str(error)
