"""The catalog that workers are sent: each answer, in versions, with slots."""

from collections.abc import Callable, Iterator
from itertools import islice

from attrs import Factory, define, evolve, frozen

from lbconsul.balance.events import Change
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.workers.messages import CatalogChunk
from lbconsul.workers.slots import Slots

#: So many instances are in one part, so that none takes a reactor long.
CUT = 500


@frozen
class Delta:
    """One change of the catalog."""

    question: ServiceQuery
    put: tuple[Instance, ...]
    drop: tuple[Identity, ...] = ()
    whole: bool = False
    #: Nobody asks the question any more.
    gone: bool = False
    #: There may be more, whose host names are being looked up.
    pending: bool = False


@define(eq=False)
class VersionedCatalog:
    """What is known of each question, in which version, and who has which slot."""

    slots: Slots
    #: Grows by one with each change.
    version: int = 0
    _known: dict[ServiceQuery, dict[Identity, Instance]] = Factory(dict)
    _pending: set[ServiceQuery] = Factory(set)

    def questions(self) -> list[ServiceQuery]:
        """Those that have been answered."""
        return list(self._known)

    def knows(self, identity: Identity) -> bool:
        """Whether it is in any answer."""
        return any(identity in each for each in self._known.values())

    def change(
        self, question: ServiceQuery, change: Change, *, pending: bool = False
    ) -> Delta | None:
        """Take what an answer changed; what workers are to be told, if anything."""
        first = question not in self._known
        if not (first or change or (question in self._pending) != pending):
            return None
        if pending:
            self._pending.add(question)
        else:
            self._pending.discard(question)
        self.version += 1
        known = self._known.setdefault(question, {})
        drop = tuple(gone.identity for gone in change.left)
        for identity in drop:
            known.pop(identity, None)
        self._leave(drop)
        put = change.put
        for instance in put:
            known[instance.identity] = instance
            self.slots.take(instance.identity)
        return Delta(question, put, drop, whole=first, pending=pending)

    def forget(self, question: ServiceQuery) -> Delta | None:
        """Nobody asks it any more; what workers are to be told, if anything."""
        if question not in self._known:
            return None
        self.version += 1
        self._pending.discard(question)
        self._leave(tuple(self._known.pop(question)))
        return Delta(question, (), whole=True, gone=True)

    def whole(self, question: ServiceQuery) -> Delta:
        """All that is known of `question`."""
        if question not in self._known:
            return Delta(question, (), whole=True, gone=True)
        put = tuple(self._known[question].values())
        return Delta(question, put, whole=True, pending=question in self._pending)

    def parts(self, delta: Delta, level: int) -> Iterator[CatalogChunk]:
        """A change cut into parts, each made when it is its turn."""
        rest = iter(delta.put)
        first = CatalogChunk(
            delta.question,
            (),
            delta.drop,
            delta.whole,
            level,
            False,
            delta.gone,
            delta.pending,
        )
        put = self._cut(rest)
        while True:
            more = self._cut(rest)
            yield evolve(first, put=put, last=not more)
            if not more:
                return
            first, put = evolve(first, drop=()), more

    def _leave(self, identities: tuple[Identity, ...]) -> None:
        """Those that are in no answer any more have left."""
        for identity in identities:
            if not self.knows(identity):
                self.slots.leave(identity, self.version)

    def _cut(self, rest: Iterator[Instance]) -> tuple[tuple[Instance, int | None], ...]:
        take: Callable[[Identity], int | None] = self.slots.find
        return tuple((each, take(each.identity)) for each in islice(rest, CUT))
