"""The events made from workers' ejection reports."""

from collections.abc import Callable, Iterable, Mapping

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.balance.events import EventKind, UpstreamEvent
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Upstream

#: Ejections reported by workers: by number of the pool and instance, the ejection and
#: its start.
Ejected = Mapping[tuple[int, Identity], tuple[Ejection, float]]


@define(eq=False)
class EjectionReports:
    """Turns workers' ejection reports into events.

    With workers, this process makes no connections: its own registry sees no ejections.
    """

    _clock: IReactorTime
    _registry: Registry
    #: The present reports of the workers, by failover.
    _reports: Callable[[], Iterable[tuple[FailoverSpec, Ejected]]]
    _on_event: Callable[[UpstreamEvent], None]
    _soon: IDelayedCall | None = None
    _known: dict[tuple[PoolSpec, Identity], None] = Factory(dict)

    def changed(self) -> None:
        """A worker reports another set; its further reports of this turn count too.

        Each worker reports an upstream once per mapping.
        """
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Make the events that are due at once."""
        if self._soon is not None:
            self._soon.cancel()
            self._look()

    def _look(self) -> None:
        """Make an event for each difference from the reports of the last call."""
        self._soon = None
        now, served = dict[tuple[PoolSpec, Identity], Ejection](), set[PoolSpec]()
        for spec, ejected in self._reports():
            selections = spec.all()
            served.update(selections)
            for (number, identity), (ejection, _) in ejected.items():
                if number < len(selections):  # else it is from before a reload
                    now[selections[number], identity] = ejection
        before = {each: None for each in self._known if each[0] in served}
        self._known = dict.fromkeys(now)
        members = {
            selection: {
                each.instance.identity: each
                for each in self._registry.pool(selection).upstreams()
            }
            for selection, _ in now.keys() ^ before.keys()
        }
        for selection, identity in now.keys() - before.keys():
            upstream = members[selection].get(identity)
            if upstream is not None:
                self._ejected(selection, upstream, now[selection, identity])
        for selection, identity in before.keys() - now.keys():
            upstream = members[selection].get(identity)
            # A draining upstream is not restored: only its ejection is forgotten.
            if upstream is not None and upstream.standing is not Standing.DRAINING:
                self._restored(selection, upstream)

    def _ejected(
        self, selection: PoolSpec, upstream: Upstream, ejection: Ejection
    ) -> None:
        event = UpstreamEvent(
            kind=EventKind.EJECTED,
            query=selection.query,
            instance=upstream.instance,
            reason=ejection.reason,
            before=upstream.standing,
            after=Standing.EJECTED,
            seconds=ejection.seconds,
        )
        self._on_event(event)

    def _restored(self, selection: PoolSpec, upstream: Upstream) -> None:
        event = UpstreamEvent(
            kind=EventKind.RESTORED,
            query=selection.query,
            instance=upstream.instance,
            reason="every worker uses it again",
            before=Standing.EJECTED,
            after=upstream.standing,
        )
        self._on_event(event)
