"""The last good answer on disk, for a start while Consul is not to be had."""

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

#: The version of the format, which is the first line's.
_VERSION = 1

#: A service that churns is written at most so often, in seconds; and a large answer
#: less often, so many bytes a second.
INTERVAL = 5.0
_RATE = 1 << 20

#: An answer that stays the same is written again after so long, in seconds: its age
#: counts from when Consul last confirmed it.
REFRESH = 60.0

#: The longest first line.
_HEAD = 1 << 16


@frozen
class Kept:
    """An answer that was kept: its body, and when Consul last confirmed it.

    In seconds since the epoch.
    """

    body: bytes
    time: float


@define(eq=False)
class SnapshotStore:
    """Where the snapshots of a gateway are, and whether they can be written."""

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
        """What is in a file; None if there is none."""
        return self._disk.run(lambda: self._files.read(name, BODY_LIMIT + _HEAD))

    def write(self, name: str, pieces: Iterable[bytes]) -> Deferred[bool]:
        """Have this in a file; whether it is.  If not, it is said once for all."""
        written = self._disk.run(lambda: self._files.replace(name, pieces))
        return written.addCallbacks(self._written, self._failed)

    def rename(self, name: str, other: str) -> Deferred[None]:
        """Call a file something else."""
        return self._disk.run(lambda: self._files.rename(name, other))

    def stop(self) -> Deferred[None]:
        """Fires when all is written, or the disk has been waited for long enough."""
        return self._disk.idle()

    def _written(self, _: None) -> bool:
        self._is_failing = False
        return True

    def _failed(self, failure: Failure) -> bool:
        failure.trap(OSError)
        if not self._is_failing:
            self._is_failing = True
            self._log.warn(
                "--state-dir {path}: snapshots cannot be written, so that a start while"
                " Consul is away has none, or old ones: {error}",
                path=str(self.path),
                error=_reason(failure.value),
            )
        return False


@define(eq=False)
class Snapshot:
    """The last good answer to one question.

    Its first line says what it is, the rest is what Consul said.  Whatever is wrong
    with it, it is told and set aside, and the gateway goes on without.
    """

    _log = Logger()
    _clock: IReactorTime
    _store: SnapshotStore
    _question: ServiceQuery
    #: What Consul said last, and when, by the clock.
    _latest: bytes | None = None
    _confirmed: float = 0.0
    #: The same of what was written last.
    _written: bytes | None = None
    _written_at: float = 0.0
    _is_writing: bool = False
    #: Ends the time in which nothing more is written.
    _pause: IDelayedCall | None = None
    _is_over: bool = False

    @property
    def name(self) -> str:
        """Of the file: the service's, for people, and what tells all apart."""
        name = re.sub(r"[^\w.-]", "_", self._question.service)[:100]
        digest = hashlib.sha256(repr(self._question).encode()).hexdigest()[:16]
        return f"{name}-{digest}.snapshot"

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._store.path / self.name

    def read(self, use: Callable[[Kept], None]) -> None:
        """Call `use` with the answer that was kept last, if there is one."""
        self._store.read(self.name).addCallbacks(
            self._use, self._complain, (use,), {}, ("cannot be read",), {}
        )

    def age(self, kept: Kept) -> float:
        """How old an answer is, in seconds; 0 if the clock was before it since."""
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
        said: Any = json.loads(head)
        if said["lbconsul snapshot"] != _VERSION:
            raise ValueError(f"it is of version {said['lbconsul snapshot']!r}")
        if said["question"] != str(self._question):
            raise ValueError("it is of another query")
        if said["sha256"] != hashlib.sha256(body).hexdigest():
            raise ValueError("it is not whole")
        return Kept(body, float(said["time"]))

    def set_aside(self, why: Exception) -> None:
        """Rename it: it is of no use, but may be to whoever looks into that."""
        self._log.warn(
            "{query}: the snapshot {path} is set aside: {why}",
            query=str(self._question),
            path=str(self.path),
            why=one_line(str(why), 300) or type(why).__name__,
        )
        other = f"{self.name.removesuffix('.snapshot')}.broken"
        renamed = self._store.rename(self.name, other)
        renamed.addErrback(self._complain, "cannot be set aside")

    def keep(self, body: bytes) -> None:
        """Consul says this, or still says it: write it, now or when it is time."""
        self._latest, self._confirmed = body, self._clock.seconds()
        if not self._is_writing and self._pause is None and self._is_due():
            self._write()

    def stop(self) -> None:
        """Write what is not written yet."""
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
            "question": str(self._question),
            "time": time,
            "sha256": hashlib.sha256(body).hexdigest(),  # in the thread: it takes long
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
            "{query}: the snapshot {path} {what}: {error}",
            query=str(self._question),
            path=str(self.path),
            what=what,
            error=_reason(failure.value),
        )


def _reason(error: BaseException | None) -> str:
    return getattr(error, "strerror", None) or str(error)
