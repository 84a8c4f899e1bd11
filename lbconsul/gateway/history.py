"""Records the last hour of each mapping, for the page."""

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from lbconsul.admin.history import MappingHistory
from lbconsul.gateway.interfaces import DataPlane, Gateway
from lbconsul.net.periodic import repeat
from lbconsul.process.clock import WallClock
from lbconsul.stats.history import STEP, History, Totals

#: The most that a successor is given of it in a takeover, in bytes: some 90 mappings,
#: a quarter of what a takeover may tell.
_ROOM = 1 << 20


@define(eq=False)
class HistoryRecorder(Service):
    """Takes a sample of all mappings periodically, while the service runs."""

    _reactor: Any
    _gateway: Gateway
    _history: History = Factory(History)
    _wall: WallClock = Factory(
        lambda self: WallClock(self._reactor.seconds), takes_self=True
    )
    _call: LoopingCall | None = None
    #: The sample that is being taken.
    _round: Iterator[None] | None = None

    @property
    def _data_plane(self) -> DataPlane:
        # The gateway has it when the recorder is made, but not yet.
        return self._gateway.data_plane

    @property
    def step(self) -> float:
        """Between two samples, in seconds."""
        return STEP

    def times(self) -> list[float]:
        """When each sample was taken, in seconds since the epoch, the oldest first."""
        return [self._wall.at(each) for each in self._history.times]

    def mappings(self, names: Iterable[str] = ()) -> Iterator[MappingHistory]:
        """The mappings with these names, or all of them."""
        wanted = tuple(names) or tuple(map(str, self._data_plane.mappings))
        for name in wanted:
            row = self._history.row(name)
            if row is not None:
                yield MappingHistory(name, row)

    def state(self) -> dict[str, Any]:
        """The history for a successor, as JSON can hold it."""
        return self._history.to_state(self._wall.at(0.0), _ROOM)

    def inherit(self, state: object) -> None:
        """Go on from the predecessor's history; from none if it is no such thing."""
        self._history = History.from_state(state, self._wall.at(0.0))

    def startService(self) -> None:
        super().startService()
        self._begin()
        self._call = repeat(self._reactor, STEP, self._begin)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._call is not None:
            self._call.stop()
            self._call = None
        if self._round is not None:
            self._data_plane.sweeper.drop(self._round)
            self._round = None
        return succeed(None)

    def _begin(self) -> None:
        """Take a sample, a few mappings at a time."""
        if self._round is None:
            self._round = self._sample()
            self._data_plane.sweeper.begin(self._round)

    def _sample(self) -> Iterator[None]:
        try:
            for mapping in tuple(self._data_plane.mappings):
                totals = Totals.of(self._data_plane.stats_of(mapping))
                self._history.add(str(mapping), totals, self._reactor.seconds())
                yield
            self._history.end(self._reactor.seconds())
        finally:
            self._round = None
