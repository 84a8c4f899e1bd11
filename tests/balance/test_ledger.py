"""
The ledger: whatever Consul says and clients do, the counts are right. A state machine
lets instances come, go and change, and connections begin and end, in any order, and
compares the registry with a naive model.
"""

import random
import sys
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lbconsul.balance.events import Change, Changed
from lbconsul.balance.instance import Health, Identity, Instance, Status
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    PoolSpec,
    ServiceQuery,
)
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Lease, Load, Upstream
from lbconsul.errors import NoUpstream
from tests.support.instances import an_identity, an_instance

WEB = ServiceQuery("web")
#: The same instances are in the answers to both questions: they are counted once.
FILTERED = ServiceQuery("web", filter="Node.Meta.ssd == yes")
QUESTIONS = (WEB, FILTERED)

SELECTIONS = (
    PoolSpec(WEB),
    PoolSpec(WEB, InstanceFilter(tag="v2")),
    PoolSpec(WEB, InstanceFilter(health=frozenset({"passing"})), "p2c"),
    PoolSpec(WEB, InstanceFilter(node_checks=False), "roundrobin"),
    PoolSpec(WEB, InstanceFilter(health=frozenset({"passing", "warning", "critical"}))),
    PoolSpec(FILTERED, policy="random"),
    PoolSpec(FILTERED, InstanceFilter(tag="v2"), "roundrobin"),
    PoolSpec(FILTERED, InstanceFilter(node_checks=False)),
)

#: From the best to the worst, as the documentation has it.
SEVERITY = ["passing", "warning", "critical", "maintenance"]

names = st.sampled_from("abcde")
statuses: st.SearchStrategy[Status] = st.sampled_from(
    [*["passing"] * 5, "warning", "critical", "maintenance"]
)


@st.composite
def described(draw: st.DrawFn, name: str) -> Instance:
    """An instance of this name with any weights, tags and checks."""
    return an_instance(
        name,
        weight=draw(st.sampled_from([0, 1, 2, 3, 5, 100])),
        warning_weight=draw(st.sampled_from([0, 1, 2])),
        own_weight=draw(st.sampled_from([*[None] * 6, 0, 4])),
        tags=draw(st.sampled_from([[], ["v1"], ["v2"], ["v1", "v2"]])),
        status=draw(statuses),
        node_status=draw(statuses),
    )


class Model:
    """What the registry should do, by looking at everything each time."""

    def __init__(self) -> None:
        self.known: dict[ServiceQuery, dict[Identity, Instance]] = {
            query: {} for query in QUESTIONS
        }
        self.living: list[Lease] = []

    def replace(self, query: ServiceQuery, instances: Iterable[Instance]) -> Change:
        """Take an answer, and say what it changes."""
        old = self.known[query]
        new = {each.identity: each for each in instances}
        self.known[query] = new
        return Change(
            tuple(each for each in new.values() if each.identity not in old),
            tuple(each for each in old.values() if each.identity not in new),
            tuple(
                Changed(old[each.identity], each)
                for each in new.values()
                if each.identity in old and old[each.identity] != each
            ),
        )

    def selected(self, selection: PoolSpec) -> set[Identity]:
        """The instances that the mapping selects."""
        tag = selection.rules.tag
        return {
            identity
            for identity, instance in self.known[selection.query].items()
            if not tag or tag in instance.tags
        }

    def serving(self, selection: PoolSpec) -> dict[Identity, int]:
        """The instances that may get a connection, and their weights."""
        weights = {}
        for identity in self.selected(selection):
            instance = self.known[selection.query][identity]
            status = self._status(instance, selection.rules)
            weight = self._weight(instance, status)
            if status in selection.rules.health and weight > 0:
                weights[identity] = weight
        return weights

    def load(self, identity: Identity) -> int:
        """Living leases on one instance, through whichever mapping."""
        return sum(each.upstream.instance.identity == identity for each in self.living)

    def load_score(self, identity: Identity, weight: int) -> float:
        """The key of least connections."""
        load = self.load(identity)
        return (load + 1) / weight if load else 0.0

    @staticmethod
    def _status(instance: Instance, rules: InstanceFilter) -> str:
        said = [instance.health.status]
        said += [instance.node_health.status] if rules.node_checks else []
        return max(said, key=SEVERITY.index)

    @staticmethod
    def _weight(instance: Instance, status: str) -> int:
        if instance.own_weight is not None:
            return instance.own_weight
        warning = status == "warning"
        return instance.warning_weight if warning else instance.passing_weight


class Ledger(RuleBasedStateMachine):
    """Consul's answers and clients' connections in any order."""

    @initialize(seed=st.integers(0, 2**16), early=st.integers(0, len(SELECTIONS)))
    def begin(self, seed: int, early: int) -> None:
        """A gateway starts, with some of its pools there before any answer."""
        self.model = Model()
        self.registry = Registry(random.Random(seed).random)
        #: All there ever were.  No bundle: Hypothesis would hold them beyond the end.
        self.leases: list[Lease] = []
        self.loads: weakref.WeakSet[Load] = weakref.WeakSet()
        #: Those whose pools there are; the others' are made when they are needed.
        self.opened = list(SELECTIONS[:early])
        for selection in self.opened:
            self.registry.pool(selection)

    # What Consul says

    @rule(query=st.sampled_from(QUESTIONS), name=names, data=st.data())
    def join(self, query: ServiceQuery, name: str, data: st.DataObject) -> None:
        """An instance joins, or is registered again, whatever its state was before."""
        instances = dict(self.model.known[query])
        instance = data.draw(described(name))
        instances[instance.identity] = instance
        self._answer(query, instances.values())

    @rule(query=st.sampled_from(QUESTIONS), name=names)
    def leave(self, query: ServiceQuery, name: str) -> None:
        """One instance leaves, if it is there."""
        instances = dict(self.model.known[query])
        instances.pop(an_identity(name), None)
        self._answer(query, instances.values())

    @rule(query=st.sampled_from(QUESTIONS), name=names, status=statuses)
    def alter_status(self, query: ServiceQuery, name: str, status: Status) -> None:
        """An instance's check turns."""
        self._alter(query, name, health=Health(status))

    @rule(query=st.sampled_from(QUESTIONS), name=names, weight=st.integers(0, 3))
    def alter_weight(self, query: ServiceQuery, name: str, weight: int) -> None:
        """An instance is given another weight."""
        self._alter(query, name, own_weight=weight)

    @rule(query=st.sampled_from(QUESTIONS), name=names, tags=st.sets(names))
    def alter_tags(self, query: ServiceQuery, name: str, tags: set[str]) -> None:
        """An instance gets other tags; some mappings may lose or win it by that."""
        said = tuple(sorted(tags)) + (("v2",) if "a" in tags else ())
        self._alter(query, name, tags=said)

    @rule(query=st.sampled_from(QUESTIONS), names=st.sets(names), data=st.data())
    def replace_all(
        self, query: ServiceQuery, names: set[str], data: st.DataObject
    ) -> None:
        """A deployment: the whole set is another one."""
        self._answer(query, [data.draw(described(name)) for name in sorted(names)])

    @rule(query=st.sampled_from(QUESTIONS))
    def flap(self, query: ServiceQuery) -> None:
        """All instances go and come back, while their connections live on."""
        instances = list(self.model.known[query].values())
        self._answer(query, [])
        self._answer(query, instances)

    # What clients do

    @rule(selection=st.sampled_from(SELECTIONS))
    def lease(self, selection: PoolSpec) -> None:
        """A client connects."""
        self._lease(selection, [])

    @rule(selection=st.sampled_from(SELECTIONS), clients=st.integers(2, 20))
    def crowd(self, selection: PoolSpec, clients: int) -> None:
        """Many clients connect."""
        for _ in range(clients):
            self._lease(selection, [])

    @rule(
        selection=st.sampled_from(SELECTIONS),
        tries=st.integers(1, 7),
        old=st.sets(st.integers(0, 99), max_size=8),
    )
    def lease_with_failures(
        self, selection: PoolSpec, tries: int, old: set[int]
    ) -> None:
        """A client connects, but some of the upstreams do not answer.

        Among those to avoid may be upstreams of other pools, or long gone.
        """
        avoiding = [lease.upstream for each in old for lease in self._any_lease(each)]
        for _ in range(tries):
            for failed in self._lease(selection, avoiding):
                avoiding.append(failed.upstream)
                self._end(failed)
        self._lease(selection, avoiding)

    @rule(number=st.integers(0, 99))
    def end(self, number: int) -> None:
        """A connection ends; that it may have ended before makes no difference."""
        for lease in self._any_lease(number):
            self._end(lease)

    # What always holds

    @invariant()
    def every_lease_is_counted(self) -> None:
        """The gateway has as many connections open as there are leases."""
        assert self.registry.open_connections() == len(self.model.living)

    @invariant()
    def every_load_is_of_its_leases(self) -> None:
        """Each pool has the members that it should, with their connections."""
        list(self.registry.tick())
        for selection in self.opened:
            pool = self.registry.pool(selection)
            members = {each.instance.identity: each for each in pool.upstreams()}
            selected = self.model.selected(selection)
            assert members.keys() >= selected
            for identity in members.keys() - selected:  # it has lost its tag
                assert members[identity].load.open
                assert members[identity].verdict.reason == "lost tag v2"
            serving = self.model.serving(selection)
            for identity, upstream in members.items():
                assert upstream.load.open == self.model.load(identity)
                known = self.model.known[selection.query][identity]
                assert upstream.instance == known
                assert upstream.serving == (identity in serving)
                if not upstream.serving:
                    assert upstream.verdict.standing is Standing.DRAINING
                self.loads.add(upstream.load)

    def teardown(self) -> None:
        """At the end nothing is left: no connection, no upstream, no count."""
        if sys.exc_info()[0] or not hasattr(self, "model"):
            return  # a rule has failed, and is to be reported
        while self.model.living:
            self._end(self.model.living[0])
        self.every_lease_is_counted()
        self.every_load_is_of_its_leases()
        for query in QUESTIONS:
            self._answer(query, [])
        for selection in SELECTIONS:
            assert not self._lease(selection, [])
        self.leases.clear()
        assert list(self.loads) == []

    # How it is done

    def _answer(self, query: ServiceQuery, instances: Iterable[Instance]) -> None:
        expected = self.model.replace(query, instances)
        now = self.model.known[query].values()
        assert self.registry.replace(query, now) == expected

    def _alter(self, query: ServiceQuery, name: str, **changes: Any) -> None:
        instances = dict(self.model.known[query])
        identity = an_identity(name)
        if identity in instances:
            instances[identity] = evolve(instances[identity], **changes)
            self._answer(query, instances.values())

    def _lease(self, selection: PoolSpec, avoiding: list[Upstream]) -> list[Lease]:
        """One lease, if there is an upstream for it."""
        if selection not in self.opened:
            self.opened.append(selection)
        members = self.registry.pool(selection).upstreams()
        avoided = {each.instance.identity for each in avoiding if each in members}
        eligible = {
            identity: self.model.load_score(identity, weight)
            for identity, weight in self.model.serving(selection).items()
            if identity not in avoided
        }
        loads = Counter({each: self.model.load(each) for each in eligible})
        try:
            lease = self.registry.failover(FailoverSpec((selection,))).lease(avoiding)
        except NoUpstream:
            assert not eligible
            return []
        upstream = lease.upstream
        identity = upstream.instance.identity
        assert identity in eligible
        assert upstream in members
        assert upstream not in avoiding
        if selection.policy == "leastconn":
            assert eligible[identity] == min(eligible.values())
        assert upstream.load.open == loads[identity] + 1
        self.model.living.append(lease)
        self.leases.append(lease)
        return [lease]

    def _any_lease(self, number: int) -> list[Lease]:
        """One of all there ever were, if there is any."""
        return self.leases[number % len(self.leases) :][:1] if self.leases else []

    def _end(self, lease: Lease) -> None:
        lease.end()
        if lease in self.model.living:
            self.model.living.remove(lease)


def test_the_ledger() -> None:
    """However answers, connections and failures follow on each other, each
    connection is counted once while it lives, goes to an upstream that may
    have it, the least crowded where so chosen, and leaves nothing behind.
    """
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=75,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
