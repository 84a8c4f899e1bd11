"""Event callbacks, and the events made from workers' ejection reports."""

from collections.abc import Callable, Iterable, Mapping

from attrs import Factory, define

from lbconsul.balance.events import Event, EventKind, UpstreamEvent
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Upstream

#: Called with each event.
Note = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Discard an event."""


#: Ejections reported by workers: by number of the pool and instance, the ejection and
#: its start.
Ejected = Mapping[tuple[int, Identity], tuple[Ejection, float]]


@define(eq=False)
class EjectionReports:
    """Turns workers' ejection reports into events.

    With workers, this process makes no connections: its own registry sees no ejections.
    """

    _registry: Registry
    _note: Note
    _known: dict[tuple[PoolSpec, Identity], None] = Factory(dict)

    def look(self, reports: Iterable[tuple[FailoverSpec, Ejected]]) -> None:
        """Note an event for each difference from the reports of the last call."""
        now, served = dict[tuple[PoolSpec, Identity], Ejection](), set[PoolSpec]()
        for route, ejected in reports:
            selections = route.all()
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
            query=selection.question,
            instance=upstream.instance,
            reason=ejection.reason,
            before=upstream.standing,
            after=Standing.EJECTED,
            seconds=ejection.seconds,
        )
        self._note(event)

    def _restored(self, selection: PoolSpec, upstream: Upstream) -> None:
        event = UpstreamEvent(
            kind=EventKind.RESTORED,
            query=selection.question,
            instance=upstream.instance,
            reason="every worker uses it again",
            before=Standing.EJECTED,
            after=upstream.standing,
        )
        self._note(event)
