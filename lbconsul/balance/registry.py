"""The registry: where what Consul says and what connections do meet."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from attrs import Factory, define, frozen

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.lottery import Chance
from lbconsul.balance.outlier import Outliers
from lbconsul.balance.policy import POLICIES
from lbconsul.balance.pool import Pool
from lbconsul.balance.selection import Question, Selection
from lbconsul.balance.tally import OwnTally, Tally
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import NoUpstream


@frozen
class Change:
    """What one answer changed; false when it changed nothing."""

    joined: tuple[Instance, ...] = ()
    left: tuple[Instance, ...] = ()
    altered: tuple[Instance, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.altered)


@define(eq=False)
class Registry:
    """All pools.

    `chance` gives numbers from 0 up to but without 1; all that is left to
    chance comes from it.  `tally` counts, `changed` is told of each answer once
    the pools know it, `seconds` is the clock, and `told` is told when an upstream
    of a question is ejected or trusted again.
    """

    _chance: Chance
    _tally: Tally = Factory(OwnTally)
    _changed: Callable[[Question, Change], None] = lambda question, change: None
    _seconds: Callable[[], float] = lambda: 0.0
    _told: Callable[[Question, Upstream, str], None] = lambda *_: None
    _pools: dict[Selection, Pool] = Factory(dict)
    _known: dict[Question, dict[Identity, Instance]] = Factory(dict)

    def pool(self, selection: Selection) -> Pool:
        """The pool of `selection`, made on the first request for it."""
        pool = self._pools.get(selection)
        if pool is None:
            pool = self._pools[selection] = self._new_pool(selection)
            for instance in self._known.get(selection.question, {}).values():
                pool.admit(instance, self._tally.load(instance.identity))
        return pool

    def answered(self, question: Question) -> bool:
        """Whether Consul has ever answered `question`."""
        return question in self._known

    def replace(self, question: Question, instances: Iterable[Instance]) -> Change:
        """The instances are these now; what survives keeps its leases."""
        old = self._known.get(question, {})
        new = {instance.identity: instance for instance in instances}
        joined, altered = [], []
        for identity, instance in new.items():
            known = old.get(identity)
            if known is None:
                joined.append(instance)
            elif known is not instance and known != instance:
                altered.append(instance)
        left = [gone for identity, gone in old.items() if identity not in new]
        self._known[question] = new
        change = Change(tuple(joined), tuple(left), tuple(altered))
        self._pass_on(question, (*joined, *altered), [gone.identity for gone in left])
        self._changed(question, change)
        return change

    def amend(
        self, question: Question, put: Iterable[Instance], drop: Iterable[Identity]
    ) -> None:
        """What another process learned: these joined or were altered, those left."""
        known = self._known.setdefault(question, {})
        put, drop = tuple(put), tuple(drop)
        for identity in drop:
            known.pop(identity, None)
        known.update((instance.identity, instance) for instance in put)
        self._pass_on(question, put, drop)

    def lease(self, selection: Selection, avoiding: Collection[Upstream] = ()) -> Lease:
        """Count a connection to the upstream that is to have it.

        :raises NoUpstream: none is serving, or all that are stand in `avoiding`.
        """
        self._tally.catch_up()
        lease = self.pool(selection).lease(avoiding)
        if lease is None:
            raise NoUpstream(f"no upstream of {selection.question} is left")
        return lease

    def tend(self) -> None:
        """Do what has become due by now; to be called a few times a second."""

    def open_connections(self) -> int:
        """Leases of this process that are not ended, over all identities."""
        return self._tally.open_connections()

    def _new_pool(self, selection: Selection) -> Pool:
        return Pool(
            selection.rules,
            POLICIES[selection.policy](self._chance),
            Outliers(selection.patience, self._chance, self._seconds),
            partial(self._told, selection.question),
        )

    def _pass_on(
        self, question: Question, put: Iterable[Instance], drop: Iterable[Identity]
    ) -> None:
        """Let the pools of `question` know."""
        for pool in self._pools_of(question):
            for identity in drop:
                pool.dismiss(identity)
            for instance in put:
                pool.admit(instance, self._tally.load(instance.identity))

    def _pools_of(self, question: Question) -> Iterator[Pool]:
        for selection, pool in self._pools.items():
            if selection.question == question:
                yield pool
