"""Makes an event when a mapping begins to turn clients away by `shed-lag`, and ends."""

from collections.abc import Callable, Iterable

from attrs import define
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from lbconsul.balance.events import EventKind, MappingEvent
from lbconsul.gateway.interfaces import EventObserver
from lbconsul.net.periodic import repeat
from lbconsul.proxy.saturation import SHEDDING, Full

#: Seconds between looks.
EVERY = 1.0


@define(eq=False)
class OverloadEvents(Service):
    """Looks which mappings shed load in any process; `full` is what is full in them."""

    _clock: IReactorTime
    _full: Callable[[], Iterable[Full]]
    _observer: EventObserver
    _shedding: frozenset[str] = frozenset()
    _looking: LoopingCall | None = None

    def startService(self) -> None:
        super().startService()
        self._looking = repeat(self._clock, EVERY, self.look)

    def stopService(self) -> None:
        super().stopService()
        if self._looking is not None:
            self._looking.stop()
            self._looking = None

    def look(self) -> None:
        """Tell what began, and what ended, since the last call."""
        before = self._shedding
        now = self._shedding = frozenset(
            each.mapping for each in self._full() if each.reason == SHEDDING
        )
        for kind, mappings in (
            (EventKind.OVERLOADED, now - before),
            (EventKind.RELIEVED, before - now),
        ):
            for mapping in sorted(mappings):
                event = MappingEvent(kind=kind, query=None, mapping=mapping)
                self._observer.on_event(event)
