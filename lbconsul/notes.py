"""What changed, as it is noted for people: the events of the admin listener."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from attrs import Factory, define

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.registry import Change, Registry
from lbconsul.balance.selection import Question, Route, Selection
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Upstream

#: Of so many instances each is an event of its own; more are one together.
_EACH = 20


class Note(Protocol):
    """Takes note of something that changed."""

    def __call__(
        self,
        kind: str,
        text: str,
        question: Question | None,
        identity: Identity | None,
    ) -> None:
        """It was of this kind, and concerned this question or instance."""


def nobody(
    kind: str, text: str, question: Question | None, identity: Identity | None
) -> None:
    """Takes no note."""


def told_of(change: Change) -> Iterator[tuple[str, str, Identity | None]]:
    """The events that one answer makes: kind, sentence, instance."""
    for kind, instances in (
        ("joined", change.joined),
        ("left", change.left),
        ("altered", change.altered),
    ):
        if len(instances) > _EACH:
            yield kind, f"{len(instances)} instances {kind}", None
        else:
            for each in instances:
                yield kind, f"{each} {kind}{_reason(each)}", each.identity


def _reason(instance: Instance) -> str:
    reason = instance.skipped or instance.health.worst(instance.node_health).reason
    return f": {reason}" if reason else ""


#: Whom workers have set aside: by the number of the pool and the instance, why.
Aside = Mapping[tuple[int, Identity], tuple[str, float]]


@define(eq=False)
class Asides:
    """Notes whom workers eject, and whom all of them have restored.

    It is they who connect, so that the registry knows nothing of it.
    """

    _registry: Registry
    _note: Note
    _known: dict[tuple[Selection, Identity], None] = Factory(dict)

    def look(self, told: Iterable[tuple[Route, Aside]]) -> None:
        """They have told this of the routes that there are."""
        now, served = dict[tuple[Selection, Identity], str](), set[Selection]()
        for route, aside in told:
            selections = route.all()
            served.update(selections)
            for (number, identity), (why, _) in aside.items():
                if number < len(selections):  # else it was told before a reload
                    now[selections[number], identity] = why
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
                why = now[selection, identity]
                self._tell("ejected", selection, upstream, why)
        for selection, identity in before.keys() - now.keys():
            upstream = members[selection].get(identity)
            # One that Consul lets serve no more is not restored, but forgotten.
            if upstream is not None and upstream.standing is not Standing.DRAINING:
                self._tell("restored", selection, upstream, "restored")

    def _tell(
        self, kind: str, selection: Selection, upstream: Upstream, what: str
    ) -> None:
        instance = upstream.instance
        text = f"{instance} {what}"
        self._note(kind, text, selection.question, instance.identity)
