"""Operations: what an operator orders of upstreams."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbconsul.balance.events import (
    EventKind,
    UpstreamEvent,
    describe,
    event_fields,
)
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.registry import Registry
from lbconsul.errors import CannotOrder
from lbconsul.gateway.drain_file import LONGEST, MOST, Drained, DrainFile
from lbconsul.gateway.events import Note


class Serving(Protocol):
    """Who serves: a front."""

    @property
    def registry(self) -> Registry:
        """All pools."""

    def rest(self, resting: Drained) -> None:
        """An operator has drained these registrations, and no others any longer."""


@define(eq=False)
class Operations(Service):
    """Drains upstreams by hand, and remembers which are drained.

    A drain belongs to one registration of an instance: it ends with that one, or when
    the operator ends it, whether the instance is there or not.  It is kept in the
    state directory, if there is one, and handed over in a takeover.
    """

    _log = Logger()
    _reactor: Any
    _front: Serving
    _note: Note
    #: Why nothing can be ordered now; empty if it can.
    _busy: Callable[[], str]
    _file: DrainFile | None = field(init=False, default=None)
    _state_dir: str = field(init=False, default="")
    #: Whether it has been told that drains are not kept.
    _has_warned: bool = False

    def begin(self, state_dir: str, inherited: Drained | None) -> None:
        """Drain what was drained: by the predecessor, or else as the file says."""
        self._use(state_dir)
        kept = self._file.read() if self._file is not None else {}
        drained = kept if inherited is None else inherited
        if self._file is not None and drained != kept:
            self._file.keep(drained)
        if drained:
            self._front.rest(drained)
            self._log.warn("{count} upstreams are drained by hand", count=len(drained))

    def keep_in(self, state_dir: str) -> None:
        """Keep what is drained there from now on; empty for nowhere."""
        if state_dir == self._state_dir:
            return
        self._use(state_dir)
        if self._file is not None:
            self._file.keep(self._front.registry.resting)

    @property
    def kept(self) -> str:
        """How long a drain lasts, for people to read."""
        if self._file is not None:
            return "until it is undrained, or registered anew"
        return "until the gateway ends: --state-dir keeps it longer"

    def drained(self) -> Iterator[tuple[Identity, bool]]:
        """What is drained, and whether Consul has that registration now."""
        registry = self._front.registry
        for identity in registry.resting:
            yield identity, registry.is_resting(identity)

    def drain(self, identity: Identity) -> bool:
        """Give it nothing new, in all pools; whether there is such an instance.

        :raises CannotOrder: not now.
        """
        registry = self._front.registry
        drained = registry.resting
        if not registry.has(identity):
            return identity in drained
        self._check()
        if max(map(len, identity)) > LONGEST:
            raise CannotOrder(f"its id has more than {LONGEST} characters")
        drained.pop(identity, None)
        while len(drained) >= MOST:
            del drained[self._gone(drained)]
        self._set(drained | {identity: registry.created(identity)})
        self._tell(EventKind.DRAINED, identity)
        if self._file is None and not self._has_warned:
            self._has_warned = True
            self._log.warn(
                "a drain by hand is kept until the gateway ends, or is handed over in"
                " a takeover: --state-dir keeps it longer"
            )
        return True

    def undrain(self, identity: Identity) -> bool:
        """The opposite, as far as Consul lets it serve, though it may be gone.

        Whether there is such an instance, or was one when it was drained.

        :raises CannotOrder: not now.
        """
        registry = self._front.registry
        drained = registry.resting
        if identity not in drained:
            return registry.has(identity)
        self._check()
        del drained[identity]
        self._set(drained)
        self._tell(EventKind.UNDRAINED, identity)
        return True

    def renewed(self, instances: tuple[Instance, ...]) -> None:
        """Called by the data plane: these were registered anew, and are not drained."""
        for each in instances:
            event = UpstreamEvent(
                kind=EventKind.UNDRAINED, instance=each, reason="registered anew"
            )
            self._log.info("{event}", event=describe(event), **event_fields(event))
            self._note(event)
        if self._file is not None:
            self._file.keep(self._front.registry.resting)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self._file.stop() if self._file is not None else succeed(None)

    def _use(self, state_dir: str) -> None:
        self._state_dir = state_dir
        path = Path(state_dir)
        self._file = DrainFile(self._reactor, path) if state_dir else None

    def _check(self) -> None:
        busy = self._busy()
        if busy:
            raise CannotOrder(busy)

    def _gone(self, drained: Drained) -> Identity:
        """The one that was drained first of those whose registration is gone."""
        registry = self._front.registry
        gone = (each for each in drained if not registry.is_resting(each))
        found = next(gone, None)
        if found is None:
            raise CannotOrder(f"{MOST} upstreams are drained already: undrain some")
        return found

    def _set(self, drained: Drained) -> None:
        self._front.rest(drained)
        if self._file is not None:
            self._file.keep(drained)

    def _tell(self, kind: EventKind, identity: Identity) -> None:
        self._note(UpstreamEvent(kind=kind, instance=identity, reason="by hand"))
