"""Sends the catalog to one worker, no faster than the worker reads."""

from collections.abc import Callable, Iterator

from attrs import Factory, define

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.workers.messages import CatalogChunk, SyncComplete, write_order
from lbconsul.workers.versioned_catalog import Delta, VersionedCatalog


@define(eq=False)
class CatalogSender:
    """Sends one worker what it serves, and the catalog's changes.

    A worker that does not read costs no memory: while it does not, only the
    questions are noted whose answers changed, and these are sent whole, as they
    are then, once it reads again.  `serve` sends what it serves, as it is then.
    """

    _catalog: VersionedCatalog
    _write: Callable[[bytes], None]
    _serve: Callable[[], None] = lambda: None
    #: The version that the worker knows once it has all that was sent.
    _level: int = 0
    _dirty: dict[ServiceQuery, None] = Factory(dict)
    _parts: Iterator[CatalogChunk] | None = None
    _paused: bool = False
    #: Whether what it serves has changed.
    _owes_serve: bool = False
    #: Whether the worker waits to hear that it knows all there is.
    _owes_complete: bool = False
    _is_closed: bool = False

    def begin(self) -> None:
        """Send what it serves, all that is known, and that this is all."""
        self._owes_serve = self._owes_complete = True
        self._dirty.update(dict.fromkeys(self._catalog.questions()))
        self._send()

    def changed(self, delta: Delta) -> None:
        """Send a change, which is the catalog's latest."""
        if self._paused or self._parts or self._dirty:
            self._dirty[delta.question] = None
        else:
            self._level = self._catalog.version
            self._parts = self._catalog.parts(delta, self._level)
            self._send()

    def altered(self) -> None:
        """What it serves has changed."""
        self._owes_serve = True
        self._send()

    def pause(self) -> None:
        """The worker does not read as fast as we send."""
        self._paused = True

    def resume(self) -> None:
        """It has read what was sent."""
        self._paused = False
        self._send()

    def close(self) -> None:
        """Send nothing any more, whatever changes or is on its way."""
        self._is_closed = True

    def _send(self) -> None:
        while not (self._paused or self._is_closed):
            if self._owes_serve:
                self._owes_serve = False
                self._serve()
            elif self._parts is None and not self._turn_to_dirty():
                if self._owes_complete:
                    self._owes_complete = False
                    self._write(write_order(SyncComplete()))
                return
            else:
                self._send_part()

    def _send_part(self) -> None:
        assert self._parts is not None
        part = next(self._parts, None)
        if part is None:
            self._parts = None
        else:
            self._write(write_order(part))

    def _turn_to_dirty(self) -> bool:
        """Begin with the next answer that has to be sent whole, if there is one."""
        if not self._dirty:
            return False
        question = next(iter(self._dirty))
        del self._dirty[question]
        if not self._dirty:  # others would be older than what we say they are
            self._level = self._catalog.version
        delta = self._catalog.whole(question)
        self._parts = self._catalog.parts(delta, self._level)
        return True
