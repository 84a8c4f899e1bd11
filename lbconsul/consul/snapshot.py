"""The last good answer on disk, for a start while Consul is not to be had."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from attrs import define, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbconsul.balance.selection import Question
from lbconsul.errors import ConfigError

#: The version of the format, which is the first line's.
_VERSION = 1

#: A service that churns is written at most so often, in seconds.
INTERVAL = 5.0


@frozen
class Kept:
    """An answer that was kept: its body, and when that was, by the clock."""

    body: bytes
    time: float


def check_directory(path: str) -> None:
    """See whether snapshots can be kept there; it need not exist yet.

    :raises ConfigError: they cannot.
    """
    place = Path(path)
    nearest = place if place.exists() else place.parent
    if not nearest.is_dir():
        raise ConfigError(f"--state-dir {path}: {nearest} is no directory")
    effective = os.access in os.supports_effective_ids
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=effective):
        raise ConfigError(f"--state-dir {path}: {nearest} may not be written to")


@define(eq=False)
class Snapshot:
    """The last good answer to one question.

    A file that is replaced as a whole and is its owner's only.  Its first line
    says what it is, the rest is what Consul said.  Whatever is wrong with it, it
    is told and set aside, and the gateway goes on without.
    """

    _log = Logger()
    _clock: IReactorTime
    _directory: Path
    _question: Question
    #: What is to be written, when it may be.
    _waiting: bytes | None = None
    #: What was written last, and the call that ends the time for which to wait.
    _written: bytes | None = None
    _pause: IDelayedCall | None = None
    _is_failing: bool = False

    @property
    def path(self) -> Path:
        """Where it is: the service's name, for people, and what tells all apart."""
        name = re.sub(r"[^\w.-]", "_", self._question.service)[:100]
        digest = hashlib.sha256(repr(self._question).encode()).hexdigest()[:16]
        return self._directory / f"{name}-{digest}.snapshot"

    def read(self) -> Kept | None:
        """The answer that was kept last, if there is one."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain("cannot be read", error)
            return None
        try:
            return self._parse(data)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.set_aside(error)
            return None

    def _parse(self, data: bytes) -> Kept:
        head, _, body = data.partition(b"\n")
        said: Any = json.loads(head)
        if said["lbconsul snapshot"] != _VERSION:
            raise ValueError(f"it is of version {said['lbconsul snapshot']!r}")
        if said["question"] != str(self._question):
            raise ValueError("it is of another question")
        if said["sha256"] != hashlib.sha256(body).hexdigest():
            raise ValueError("it is not whole")
        return Kept(body, float(said["time"]))

    def set_aside(self, why: Exception) -> None:
        """Rename it: it is of no use, but may be to whoever looks into that."""
        self._log.warn(
            "{question}: the snapshot {path} is set aside: {why}",
            question=str(self._question),
            path=str(self.path),
            why=str(why) or type(why).__name__,
        )
        try:
            os.replace(self.path, self.path.with_suffix(".broken"))
        except OSError as error:
            self._complain("cannot be set aside", error)

    def keep(self, body: bytes) -> None:
        """Write it, now or when the last one is old enough."""
        self._waiting = body
        if self._pause is None:
            self._flush()

    def _flush(self) -> None:
        self._pause = None
        body, self._waiting = self._waiting, None
        if body is not None and body != self._written:
            self._write(body)
            self._pause = self._clock.callLater(INTERVAL, self._flush)

    def stop(self) -> None:
        """Write what waits."""
        if self._pause is not None:
            self._pause.cancel()
        self._flush()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _write(self, body: bytes) -> None:
        head = {
            "lbconsul snapshot": _VERSION,
            "question": str(self._question),
            "time": self._clock.seconds(),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        new = self.path.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            new.unlink(missing_ok=True)  # its permissions might be other ones
            with open(
                os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as f:
                f.write(json.dumps(head).encode() + b"\n" + body)
            os.replace(new, self.path)
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                self._complain("cannot be written", error)
        else:
            self._written, self._is_failing = body, False

    def _complain(self, what: str, error: OSError) -> None:
        self._log.warn(
            "{question}: the snapshot {path} {what}: {error}",
            question=str(self._question),
            path=str(self.path),
            what=what,
            error=error.strerror or error,
        )
