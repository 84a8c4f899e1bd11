"""What changed, as it is noted for people: the events of the admin listener."""

from collections.abc import Iterator
from typing import Protocol

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.registry import Change
from lbconsul.balance.selection import Question

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
    reason = instance.health.worst(instance.node_health).reason
    return f": {reason}" if reason else ""
