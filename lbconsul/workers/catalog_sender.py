"""Sends the catalog to one worker, no faster than the worker reads."""

from collections.abc import Callable, Iterator

from attrs import Factory, define

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import TLS
from lbconsul.workers.messages import (
    Amend,
    CatalogChunk,
    CertificatesChunk,
    SyncComplete,
    UsePasswords,
    write_command,
)
from lbconsul.workers.published_certificates import PublishedCertificates
from lbconsul.workers.versioned_catalog import Delta, VersionedCatalog


@define(eq=False)
class CatalogSender:
    """Sends one worker certificates, its mappings, and the catalog's changes.

    A worker that does not read costs no memory: the sender notes only which queries
    changed, and sends their current answers whole once the worker reads again.  `serve`
    writes the worker's current mappings.
    """

    _catalog: VersionedCatalog
    _write: Callable[[bytes], None]
    _serve: Callable[[], None] = lambda: None
    _certificates: PublishedCertificates = Factory(PublishedCertificates)
    #: Gives all rows that come and go, as commands.
    _all_rows: Callable[[], Iterator[Amend]] = lambda: iter(())
    #: The version that the worker has once it has read all that was sent.
    _version: int = 0
    _dirty: dict[ServiceQuery, None] = Factory(dict)
    _parts: Iterator[CatalogChunk] | None = None
    #: The TLS options whose certificates are to be sent, the paths of passwords, and
    #: the commands for some.
    _owed: dict[TLS | str, None] = Factory(dict)
    _commands: Iterator[CertificatesChunk | UsePasswords] = Factory(lambda: iter(()))
    _paused: bool = False
    #: Whether the worker's mappings have changed since they were sent.
    _owes_serve: bool = False
    #: Whether all rows that come and go are to be sent, and what is left of them.
    _owes_rows: bool = False
    _rows: Iterator[Amend] | None = None
    #: Whether `SyncComplete` is still to be sent.
    _owes_complete: bool = False
    _is_closed: bool = False

    def begin(self) -> None:
        """Send certificates and mappings, the whole catalog, and `SyncComplete`."""
        self._owed.update(dict.fromkeys(self._certificates.all))
        self._owes_serve = self._owes_rows = self._owes_complete = True
        self._dirty.update(dict.fromkeys(self._catalog.queries()))
        self._send()

    def changed(self, delta: Delta) -> None:
        """Send the catalog's latest change."""
        if self._paused or self._parts or self._dirty:
            self._dirty[delta.query] = None
        else:
            self._version = self._catalog.version
            self._parts = self._catalog.parts(delta, self._version)
            self._send()

    def certificates_changed(self, of: TLS | str) -> None:
        """Send the certificates of these options, or the passwords of this path."""
        self._owed[of] = None
        self._send()

    def amended(self, amend: Amend) -> None:
        """Send the latest change of rows that come and go."""
        if self._paused or self._is_closed or self._owes_serve or self._rows:
            self._owes_rows = True
        elif not self._owes_rows:
            self._write(write_command(amend))

    def altered(self) -> None:
        """Send the worker's mappings again, since they have changed."""
        self._owes_serve = True
        self._send()

    def pause(self) -> None:
        """Stop sending: the worker reads more slowly than the master writes."""
        self._paused = True

    def resume(self) -> None:
        """Send again: the worker has read what was sent."""
        self._paused = False
        self._send()

    def close(self) -> None:
        """Send nothing more, not even the rest of a change."""
        self._is_closed = True

    def _send(self) -> None:
        while not (self._paused or self._is_closed):
            command = self._next_certificates()
            if command is not None:
                self._write(write_command(command))
            elif self._owes_serve:
                self._owes_serve = False
                self._serve()
            elif self._sends_rows():
                pass
            elif self._parts is None and not self._turn_to_dirty():
                if self._owes_complete:
                    self._owes_complete = False
                    self._write(write_command(SyncComplete()))
                return
            else:
                self._send_part()

    def _sends_rows(self) -> bool:
        """Whether a part of the rows that come and go was to be sent, and is now."""
        if self._rows is None and self._owes_rows:
            self._owes_rows, self._rows = False, self._all_rows()
        amend = None if self._rows is None else next(self._rows, None)
        if amend is None:
            self._rows = None
            return self._owes_rows
        self._write(write_command(amend))
        return True

    def _next_certificates(self) -> CertificatesChunk | UsePasswords | None:
        """The next command with certificates or passwords; mappings come later."""
        command = next(self._commands, None)
        while command is None and self._owed:
            of = next(iter(self._owed))
            del self._owed[of]
            self._commands = self._certificates.commands(of)
            command = next(self._commands, None)
        return command

    def _send_part(self) -> None:
        assert self._parts is not None
        part = next(self._parts, None)
        if part is None:
            self._parts = None
        else:
            self._write(write_command(part))

    def _turn_to_dirty(self) -> bool:
        """Start on the next query to be sent whole; False if there is none."""
        if not self._dirty:
            return False
        query = next(iter(self._dirty))
        del self._dirty[query]
        if not self._dirty:  # else dirty answers are older than this version
            self._version = self._catalog.version
        delta = self._catalog.whole(query)
        self._parts = self._catalog.parts(delta, self._version)
        return True
