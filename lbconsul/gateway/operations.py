"""Operations: the operator's orders to drain and undrain upstreams."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbconsul.balance.event_text import describe, event_fields
from lbconsul.balance.events import EventKind, UpstreamEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.errors import CannotOrder
from lbconsul.gateway.drain_file import LONGEST, MOST, Drained, DrainFile
from lbconsul.gateway.interfaces import DataPlane, EventObserver


@define(eq=False)
class Operations(Service):
    """Drains upstreams by hand, and stores which are drained.

    A drain belongs to one registration of an instance.  It ends when the instance is
    registered again, or when the operator undrains it, registered or not.  It is stored
    in the state directory, if there is one, and handed over in a takeover.
    """

    _log = Logger()
    _reactor: Any
    _data_plane: DataPlane
    _observer: EventObserver
    #: Why orders are refused now; empty if they are not.
    _busy: Callable[[], str]
    _file: DrainFile | None = field(init=False, default=None)
    _state_dir: str = field(init=False, default="")
    #: Whether the log has warned that drains are not stored.
    _has_warned: bool = False

    def begin(self, state_dir: str, inherited: Drained | None) -> None:
        """Restore drains: the predecessor's in a takeover, else those of the file."""
        self._use(state_dir)
        kept = self._file.read() if self._file is not None else {}
        drained = kept if inherited is None else inherited
        if self._file is not None and drained != kept:
            self._file.keep(drained)
        if drained:
            self._data_plane.set_drained(drained)
            self._log.warn("{count} upstreams are drained by hand", count=len(drained))

    def use_state_dir(self, state_dir: str) -> None:
        """Store drains in this directory from now on; empty for nowhere."""
        if state_dir == self._state_dir:
            return
        self._use(state_dir)
        if self._file is not None:
            self._file.keep(self._data_plane.registry.drained)

    @property
    def kept(self) -> str:
        """How long a drain lasts, as text."""
        if self._file is not None:
            return "until it is undrained or registered again"
        return "until the gateway ends; --state-dir keeps it longer"

    def drained(self) -> Iterator[tuple[Identity, bool]]:
        """The drained instances, and whether Consul still has the registration."""
        registry = self._data_plane.registry
        for identity in registry.drained:
            yield identity, registry.is_drained(identity)

    def drain(self, identity: Identity) -> bool:
        """Drain an upstream in all pools; returns whether the instance exists.

        :raises CannotOrder: a takeover is in progress, the id is too long, or `MOST`
            upstreams are drained.
        """
        registry = self._data_plane.registry
        drained = registry.drained
        if not registry.has(identity):
            return identity in drained
        self._check()
        if max(map(len, identity)) > LONGEST:
            raise CannotOrder(
                f"the upstream's id has a part of more than {LONGEST} characters"
            )
        drained.pop(identity, None)
        while len(drained) >= MOST:
            del drained[self._gone(drained)]
        self._set(drained | {identity: registry.created(identity)})
        self._tell(EventKind.DRAINED, identity)
        if self._file is None and not self._has_warned:
            self._has_warned = True
            self._log.warn(
                "a drain by hand lasts until the gateway ends without a takeover:"
                " --state-dir keeps it longer"
            )
        return True

    def undrain(self, identity: Identity) -> bool:
        """End a drain; the upstream serves again if its health in Consul allows.

        Returns whether the instance exists, or existed when it was drained.

        :raises CannotOrder: a takeover is in progress.
        """
        registry = self._data_plane.registry
        drained = registry.drained
        if identity not in drained:
            return registry.has(identity)
        self._check()
        del drained[identity]
        self._set(drained)
        self._tell(EventKind.UNDRAINED, identity)
        return True

    def on_reregistered(self, instances: tuple[Instance, ...]) -> None:
        """Called by the data plane: a new registration ended the drain of these."""
        for each in instances:
            event = UpstreamEvent(
                kind=EventKind.UNDRAINED, instance=each, reason="registered again"
            )
            self._log.info("{event}", event=describe(event), **event_fields(event))
            self._observer.on_event(event)
        if self._file is not None:
            self._file.keep(self._data_plane.registry.drained)

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
        """The earliest drained instance whose registration is gone.

        :raises CannotOrder: all registrations still exist.
        """
        registry = self._data_plane.registry
        gone = (each for each in drained if not registry.is_drained(each))
        found = next(gone, None)
        if found is None:
            raise CannotOrder(f"{MOST} upstreams are already drained: undrain some")
        return found

    def _set(self, drained: Drained) -> None:
        self._data_plane.set_drained(drained)
        if self._file is not None:
            self._file.keep(drained)

    def _tell(self, kind: EventKind, identity: Identity) -> None:
        self._observer.on_event(
            UpstreamEvent(kind=kind, instance=identity, reason="by hand")
        )
