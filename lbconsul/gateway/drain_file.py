"""The drained registrations on disk, which survive a restart."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbconsul.balance.instance import Identity
from lbconsul.process.state_dir import PATIENCE, Disk, StateDir

#: Drained registrations, each with Consul's CreateIndex.
Drained = Mapping[Identity, int]

#: The version of the file's format.
_VERSION = 1

#: The most drained registrations at a time.
MOST = 1000

#: The longest part of an identity, in characters.
LONGEST = 255

#: The largest valid file, in bytes: JSON may need six bytes for a character.
_MOST_BYTES = MOST * (3 * LONGEST * 6 + 100)


def to_rows(drained: Drained) -> list[list[str | int]]:
    """The drained registrations as JSON values."""
    return [[*identity, created] for identity, created in drained.items()]


def from_rows(rows: Any) -> dict[Identity, int]:
    """The drained registrations from the values of `to_rows`.

    :raises ValueError: `rows` has another form.
    """
    if not isinstance(rows, list) or len(rows) > MOST:
        raise ValueError(f"not a list of at most {MOST} rows")
    found = {}
    for row in rows:
        match row:
            case [str(datacenter), str(node), str(service_id), int(created)] if (
                created >= 0 and max(map(len, row[:3])) <= LONGEST
            ):
                found[Identity(datacenter, node, service_id)] = created
            case _:
                raise ValueError("a row is not a drained registration")
    return found


@define(eq=False)
class DrainFile:
    """A file in the state directory, readable by its owner only, replaced atomically.

    It is written in a thread, one version at a time: a slow disk never blocks the
    reactor.  Errors are logged, and the gateway goes on without the file.
    """

    _log = Logger()
    _reactor: Any
    _directory: Path
    #: The version to write next, the write in progress, and the Deferreds to fire when
    #: all is written.
    _next: Drained | None = None
    _writing: Deferred[None] | None = None
    _waiting: list[Deferred[None]] = Factory(list)
    _is_failing: bool = False
    #: Runs a function in a thread.
    _run: Callable[[Callable[[], None]], Deferred[None]] = Factory(
        lambda self: Disk(self._reactor).run, takes_self=True
    )

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._directory / "drained.json"

    def read(self) -> dict[Identity, int]:
        """The drained registrations in the file; none if it cannot be read."""
        try:
            data = StateDir(self._directory).read(self.path.name, _MOST_BYTES)
            if data is None:
                return {}
            document = json.loads(data)
            if document["lbconsul drained"] != _VERSION:
                raise ValueError(f"unknown version {document['lbconsul drained']!r}")
            return from_rows(document["drained"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._complain("unusable, so nothing is drained", error)
            return {}

    def keep(self, drained: Drained) -> None:
        """Write these registrations soon; they replace a version not yet written."""
        self._next = dict(drained)
        self._turn()

    def stop(self) -> Deferred[None]:
        """Fires when all is written, or after `PATIENCE` seconds."""
        if self._writing is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting.addTimeout(PATIENCE, self._reactor).addErrback(lambda _: None)

    def _turn(self) -> None:
        if self._writing is not None:
            return
        drained, self._next = self._next, None
        if drained is None:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            return
        document = {"lbconsul drained": _VERSION, "drained": to_rows(drained)}
        data = json.dumps(document).encode()
        state, name = StateDir(self._directory), self.path.name
        self._writing = self._run(lambda: state.replace(name, [data]))
        self._writing.addCallbacks(self._written, self._failed)
        self._writing.addCallback(self._done)

    def _written(self, _: None) -> None:
        self._is_failing = False

    def _failed(self, failure: Any) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._complain(
                "cannot be written, so a restart loses drains", failure.value
            )

    def _done(self, _: None) -> None:
        self._writing = None
        self._turn()

    def _complain(self, what: str, error: Exception) -> None:
        self._log.warn(
            "{path}: {what}: {error}",
            path=str(self.path),
            what=what,
            error=getattr(error, "strerror", None)
            or str(error)
            or type(error).__name__,
        )
