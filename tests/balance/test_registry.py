"""The registry: where what Consul says and what connections do meet."""

import gc
import random
import weakref
from typing import ClassVar

import pytest
from attrs import evolve

from lbconsul.balance.counter import LocalCounter
from lbconsul.balance.events import Change, Changed
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Load, Outcome
from lbconsul.errors import NoUpstream
from tests.support.instances import (
    an_identity,
    an_instance,
    instances,
    name_of,
    names_of,
)
from tests.support.stage import Stage

WEB = PoolSpec(ServiceQuery("web"))
V2 = PoolSpec(ServiceQuery("web"), InstanceFilter(tag="v2"))
FILTERED = PoolSpec(ServiceQuery("web", filter="Node.Meta.ssd == yes"))


def _registry() -> Registry:
    return Registry(random.Random(1).random)


class TestReplace:
    """What one answer changes."""

    def test_change(self) -> None:
        """An answer yields which instances joined, left and changed."""
        registry = _registry()
        a, b, c = instances("a", "b", "c")
        assert registry.replace(WEB.query, [a, b]) == Change(joined=(a, b))
        heavy = an_instance("b", weight=7)
        change = registry.replace(WEB.query, [heavy, c])
        assert change == Change(joined=(c,), left=(a,), changed=(Changed(b, heavy),))
        assert names_of(registry.pool(WEB).upstreams()) == ["b", "c"]

    def test_those_who_left_are_told_in_order(self) -> None:
        """The log names the instances that left in their known order."""
        registry = _registry()
        many = instances(*"dbeca")
        registry.replace(WEB.query, many)
        assert registry.replace(WEB.query, []).left == tuple(many)

    def test_no_change(self) -> None:
        """An equal answer changes nothing, and its change is false."""
        registry = _registry()
        assert registry.replace(WEB.query, instances("a"))
        again = registry.replace(WEB.query, instances("a"))
        assert not again
        assert again == Change()

    def test_nothing_else_changes(self) -> None:
        """An answer concerns the pools of its question, and no others."""
        registry = _registry()
        registry.pool(FILTERED)
        registry.replace(WEB.query, instances("a"))
        assert len(registry.pool(WEB)) == 1
        assert len(registry.pool(FILTERED)) == 0

    def test_pools_of_one_query(self) -> None:
        """Mappings with different rules live on one and the same answer."""
        registry = _registry()
        registry.pool(V2)
        answer = [an_instance("a"), an_instance("b", tags=["v2"])]
        registry.replace(WEB.query, answer)
        assert names_of(registry.pool(V2).upstreams()) == ["b"]
        assert names_of(registry.pool(WEB).upstreams()) == ["a", "b"]

    def test_answered(self) -> None:
        """Whether Consul ever answered is known, an empty answer included."""
        registry = _registry()
        assert not registry.answered(WEB.query)
        registry.replace(WEB.query, [])
        assert registry.answered(WEB.query)
        assert not registry.answered(FILTERED.query)

    def test_one_identity_twice(self) -> None:
        """Of two entries with one identity the last counts, and once."""
        registry = _registry()
        answer = [an_instance("a", weight=1), an_instance("a", weight=2)]
        change = registry.replace(WEB.query, answer)
        assert change.joined == (answer[1],)
        assert [each.verdict.weight for each in registry.pool(WEB).upstreams()] == [2]

    def test_told(self) -> None:
        """The callback gets each answer after the pools have applied it."""
        told: list[tuple[ServiceQuery, Change, int]] = []
        registry = Registry(
            random.Random(1).random,
            on_change=lambda *what: told.append((*what, len(registry.pool(WEB)))),
        )
        registry.pool(WEB)
        for _ in range(2):
            registry.replace(WEB.query, instances("a", "b"))
        change = Change(joined=tuple(instances("a", "b")))
        assert told == [(WEB.query, change, 2), (WEB.query, Change(), 2)]


class TestAmend:
    """What another process learned."""

    def test_part_by_part(self) -> None:
        """Some join, some are altered, some leave; the others stay as they are."""
        registry = _registry()
        for selection in (WEB, V2, FILTERED):
            registry.pool(selection)
        registry.apply(WEB.query, instances("a", "b", "c"), [])
        lease = registry.failover(FailoverSpec((WEB,))).lease()
        tagged = an_instance("b", tags=["v2"])
        registry.apply(WEB.query, [tagged, an_instance("d")], [an_identity("a")])
        assert names_of(registry.pool(WEB).upstreams()) == ["b", "c", "d"]
        assert names_of(registry.pool(V2).upstreams()) == ["b"]
        assert len(registry.pool(FILTERED)) == 0
        assert registry.open_connections() == 1
        lease.end()

    def test_an_empty_answer(self) -> None:
        """An empty answer is valid, and an unknown instance cannot leave."""
        registry = _registry()
        registry.apply(WEB.query, [], [an_identity("a")])
        assert registry.answered(WEB.query)
        assert registry.replace(WEB.query, []) == Change()


class TestLease:
    """What a connection gets."""

    def test_counts(self) -> None:
        """A lease counts until it is ended, however often."""
        registry = _registry()
        registry.replace(WEB.query, instances("a", "b"))
        leases = [registry.failover(FailoverSpec((WEB,))).lease() for _ in range(4)]
        assert registry.open_connections() == 4
        assert [each.load.open for each in registry.pool(WEB).upstreams()] == [2, 2]
        for lease in leases + leases:
            lease.end()
        assert registry.open_connections() == 0

    def test_avoiding(self) -> None:
        """
        Upstreams that were tried are not chosen again; when all were, the error says
        so.
        """
        registry = _registry()
        registry.replace(WEB.query, instances("a", "b"))
        first = registry.failover(FailoverSpec((WEB,))).lease().upstream
        second = registry.failover(FailoverSpec((WEB,))).lease([first]).upstream
        assert {name_of(first), name_of(second)} == {"a", "b"}
        with pytest.raises(NoUpstream, match=r"^no upstream of web is left$"):
            registry.failover(FailoverSpec((WEB,))).lease([first, second])
        assert registry.open_connections() == 2

    def test_what_others_count(self) -> None:
        """Before each choice it is looked up what others have counted."""

        class Shared(LocalCounter):
            """Another process opens a connection to b."""

            is_shared = True

            def sync(self) -> None:
                self.load(an_identity("b")).add(1)

        registry = Registry(random.Random(1).random, Shared())
        registry.pool(WEB)
        registry.replace(WEB.query, instances("a", "b"))
        failover = registry.failover(FailoverSpec((WEB,)))
        assert name_of(failover.lease().upstream) == "a"
        picked = failover.pick()
        assert picked is not None and name_of(picked) == "a"

        before = registry.open_connections()
        assert failover.lease_instance(an_identity("a")) is not None
        assert registry.open_connections() == before + 2
        assert failover.lease_instance(an_identity("gone")) is None
        before = registry.open_connections()
        assert failover.pick_kept(an_identity("a"), 0.0) is not None
        assert registry.open_connections() == before + 2

    @pytest.mark.parametrize("is_shared", [False, True])
    def test_what_this_process_counts(self, is_shared: bool) -> None:
        """A shared load learns of each use, with or without a lease."""

        class Told(Load):
            """Notes what it is told."""

            told: ClassVar[list[int]] = []

            def add(self, connections: int) -> None:
                self.told.append(connections)
                super().add(connections)

        Told.is_shared = is_shared
        registry = _registry()
        registry.pool(WEB)
        registry.replace(WEB.query, instances("a"))
        [upstream] = registry.pool(WEB).upstreams()
        upstream.load = load = Told(upstreams=upstream.load.upstreams)
        assert registry.failover(FailoverSpec((WEB,))).pick() is upstream
        assert (load.open, load.told) == (1, [1] if is_shared else [])
        Told.told.clear()

    def test_before_any_answer(self) -> None:
        """Before Consul has answered no upstream is found."""
        with pytest.raises(NoUpstream):
            _registry().failover(FailoverSpec((WEB,))).lease()

    def test_one_load_for_all_mappings(self) -> None:
        """A connection through one mapping counts in all that share the instance."""
        registry = _registry()
        for selection in (WEB, FILTERED):
            registry.pool(selection)
            registry.replace(selection.query, instances("a", "b"))
        taken = {
            name_of(registry.failover(FailoverSpec((each,))).lease().upstream)
            for each in (WEB, FILTERED)
        }
        assert taken == {"a", "b"}

    def test_who_left_still_counts(self) -> None:
        """An instance that flaps is not taken for idle: its connections live on."""
        registry = _registry()
        registry.replace(WEB.query, instances("a"))
        old = [registry.failover(FailoverSpec((WEB,))).lease() for _ in range(3)]
        registry.replace(WEB.query, [])
        assert registry.open_connections() == 3
        registry.replace(WEB.query, instances("a", "b"))
        assert name_of(registry.failover(FailoverSpec((WEB,))).lease().upstream) == "b"
        assert [each.load.open for each in registry.pool(WEB).upstreams()] == [3, 1]
        for lease in old:
            lease.end()
        assert [each.load.open for each in registry.pool(WEB).upstreams()] == [0, 1]

    def test_who_is_gone_is_forgotten(self) -> None:
        """Of an instance that left, nothing is kept once its last lease is over."""
        registry = _registry()
        registry.replace(WEB.query, instances("a"))
        lease = registry.failover(FailoverSpec((WEB,))).lease()
        load = weakref.ref(lease.upstream.load)
        gc.disable()  # no collection is needed, nor does one help
        try:
            registry.replace(WEB.query, [])
            assert load() is not None
            lease.end()
            del lease
            assert load() is None
        finally:
            gc.enable()


def test_doubts() -> None:
    """A query has suspects until they are confirmed, or are back."""
    guarded = PoolSpec(
        ServiceQuery("web"), InstanceFilter(), caution=ShrinkGuardConfig(0.5)
    )
    stage = Stage(WEB, guarded)
    stage.registry.pool(FILTERED)

    def has_suspects() -> list[bool]:
        queries = WEB.query, FILTERED.query
        return [stage.registry.has_suspects(each) for each in queries]

    assert has_suspects() == [False, False]
    stage.answer("a")
    assert has_suspects() == [False, False]
    stage.answer()
    assert has_suspects() == [True, False]
    stage.answer("a")
    assert has_suspects() == [False, False]
    stage.answer()
    stage.later(30)
    assert has_suspects() == [False, False]


OTHER = ServiceQuery("other")


class TestKeepOnly:
    """A configuration without some of the mappings."""

    @pytest.mark.parametrize("policy", sorted(POLICIES))
    def test_what_nobody_needs_is_gone(self, policy: str) -> None:
        """
        Of a removed mapping nothing is left: no pool, no answer, no load, whichever
        upstreams were suspect, ejected, full or warming.
        """
        has_suspects = PoolSpec(
            OTHER, policy=policy, caution=ShrinkGuardConfig(0.5), slow_start=60, limit=2
        )
        stage = Stage(
            WEB, FailoverSpec((has_suspects, PoolSpec(OTHER, policy=policy, limit=1)))
        )
        stage.answer("a", "b")
        stage.answer(*"pqrstu", number=1)
        stage.counts(6, number=1)
        stage.join("v", number=1)
        stage.show("p", *[Outcome.REFUSED] * 3, number=1)
        stage.answer("p", "v", number=1)
        kept = stage.lease()
        forgotten = [
            weakref.ref(each)
            for pool in stage.failovers[1].pools
            for each in [pool, *(member.load for member in pool.upstreams())]
        ]
        assert len(forgotten) > 8
        stage.failovers.pop()
        gc.disable()
        try:
            stage.registry.keep_only([FailoverSpec((WEB,))])
            assert [each() for each in forgotten] == [None] * len(forgotten)
        finally:
            gc.enable()
        assert not stage.registry.answered(OTHER)
        assert (len(stage.pool()), kept.upstream.load.open) == (2, 1)
        kept.end()
        assert stage.chosen() == {"a", "b"}

    def test_others_are_as_before(self) -> None:
        """Pools, chains and answers that are needed stay the same ones."""
        stage = Stage(WEB, FailoverSpec((V2,), FILTERED))
        stage.answer("a")
        stage.answer("b", number=1)
        registry, pools = stage.registry, [*stage.failovers[1].all]
        registry.keep_only([FailoverSpec((V2,), FILTERED)])
        assert [registry.pool(each) for each in (V2, FILTERED)] == pools
        assert registry.failover(FailoverSpec((V2,), FILTERED)) is stage.failovers[1]
        assert registry.failover(FailoverSpec((WEB,))) is not stage.failovers[0]
        for query in (WEB.query, FILTERED.query):
            assert registry.answered(query)

    def test_connections_of_one_that_is_gone(self) -> None:
        """
        Its connections are counted until they end, and count for no other upstream.
        """
        stage = Stage(WEB)
        stage.answer("a", "b")
        leases = stage.hold(2)
        stage.show("a", *[Outcome.REFUSED] * 3)
        [failover] = stage.failovers
        stage.registry.keep_only([])
        assert stage.registry.open_connections() == 2
        with pytest.raises(NoUpstream):
            failover.lease()
        for each in leases:
            each.showed(Outcome.REFUSED)
            each.end()
        assert stage.registry.open_connections() == 0

    def test_in_a_new_mapping(self) -> None:
        """Connections of a removed mapping count in one that is added later."""
        stage = Stage(WEB)
        stage.answer("a", "b")
        [lease] = stage.hold(1)
        stage.registry.keep_only([])
        registry = stage.registry
        registry.replace(WEB.query, instances("a", "b"))
        loads = {
            name_of(each): each.load.open for each in registry.pool(WEB).upstreams()
        }
        assert loads == {"a": 0, "b": 0} | {name_of(lease.upstream): 1}


class TestRest:
    """An operator gives an instance nothing new."""

    def test_a_drained_instance_gets_nothing(self) -> None:
        """
        A manually drained instance gets nothing in any mapping, keeps its connections,
        and is never suspect.
        """
        stage = Stage(WEB, V2)
        stage.answer(*(an_instance(name, tags=["v2"]) for name in "abc"))
        leases = stage.hold(9)
        stage.registry.set_drained({an_identity("a"): 0, an_identity("b"): 0})
        assert stage.chosen() == stage.chosen(number=1) == {"c"}
        assert stage.upstream("a").load.open == 3
        state = stage.pool().state(stage.upstream("a"))
        assert (state.standing, state.reason) == (Standing.DRAINING, "drained by hand")
        assert stage.told == []
        assert leases[0].upstream.load.open == 3

    def test_all(self) -> None:
        """Even all of them can be drained."""
        stage = Stage()
        stage.answer("a", "b", "c")
        stage.registry.set_drained({an_identity(name): 0 for name in "abc"})
        assert stage.chosen() == set()
        assert not stage.registry.has_suspects(WEB.query)

    def test_undrained(self) -> None:
        """After an undrain the instance is as Consul's latest answer says."""
        stage = Stage()
        stage.answer("a", "b")
        a, b = an_identity("a"), an_identity("b")
        stage.registry.set_drained({a: 0})
        stage.turn("a", "critical")
        stage.now += 7
        stage.registry.set_drained({b: 0})
        assert stage.registry.drained == {b: 0}
        assert stage.chosen() == set()
        state = stage.pool().state(stage.upstream("a"))
        assert (state.standing, state.reason) == (Standing.DRAINING, "critical")
        stage.turn("a", "passing")
        assert stage.chosen() == {"a"}
        assert stage.pool().state(stage.upstream("a")).since == 1007.0

    def test_it_lasts(self) -> None:
        """
        A drain holds when the instance changes, when it comes back, and in new
        mappings.
        """
        stage = Stage()
        stage.answer("a", "b")
        stage.registry.set_drained({an_identity("a"): 0})
        stage.answer(an_instance("a", weight=5), "b")
        assert stage.chosen() == {"b"}
        stage.answer("b")
        stage.registry.set_drained({an_identity("a"): 0})
        stage.answer("a", "b")
        assert stage.chosen() == {"b"}
        lease = stage.registry.pool(FILTERED).lease()
        assert lease is None
        stage.registry.replace(FILTERED.query, instances("a", "b"))
        lease = stage.registry.pool(FILTERED).lease()
        assert lease is not None
        assert name_of(lease.upstream) == "b"

    def test_registered_anew(self) -> None:
        """
        A new registration under the same id is not drained in any mapping; one that is
        altered in place stays drained.
        """
        stage = Stage(WEB, V2)
        old, other = an_instance("a", tags=["v2"], created=10), an_instance("b")
        stage.answer(old, other)
        stage.registry.set_drained({old.identity: 10})
        stage.answer(evolve(old, port=9000), other)
        assert stage.chosen() == {"b"}
        assert stage.registry.is_drained(old.identity)
        stage.answer(evolve(old, created=20), other)
        assert stage.chosen() == {"a", "b"}
        assert stage.chosen(number=1) == {"a"}
        assert stage.registry.drained == {}
        assert [each.identity.service_id for each in stage.renewed] == ["a"]

    def test_gone_meanwhile(self) -> None:
        """
        A new registration is not drained either where the old one had left before.
        """
        stage = Stage()
        stage.answer(an_instance("a", created=10), "b")
        stage.registry.set_drained({an_identity("a"): 10})
        stage.answer("b")
        assert not stage.registry.is_drained(an_identity("a"))
        assert stage.registry.drained == {an_identity("a"): 10}
        stage.answer(an_instance("a", created=11), "b")
        assert stage.chosen() == {"a", "b"}

    def test_said_by_a_server_that_lags(self) -> None:
        """An older registration, which a server names that lags, ends no drain."""
        stage = Stage()
        stage.answer(an_instance("a", created=20), "b")
        stage.registry.set_drained({an_identity("a"): 20})
        stage.answer(an_instance("a", created=10), "b")
        stage.answer(an_instance("a", created=20), "b")
        assert stage.chosen() == {"b"}

    def test_registration_unknown(self) -> None:
        """
        A drain of an unknown registration applies to the first one that becomes known.
        """
        stage = Stage()
        stage.answer(an_instance("a"), "b")
        assert stage.registry.created(an_identity("a")) == 0
        stage.registry.set_drained({an_identity("a"): 0})
        stage.answer(an_instance("a", created=10), "b")
        assert stage.chosen() == {"b"}
        assert stage.registry.drained == {an_identity("a"): 10}
        assert stage.registry.created(an_identity("a")) == 10
        stage.answer(an_instance("a", created=11), "b")
        assert stage.chosen() == {"a", "b"}

    def test_who_is_gone(self) -> None:
        """
        A drain does not bring back an instance that is gone, even if it is suspect.
        """
        stage = Stage(
            PoolSpec(ServiceQuery("web"), caution=ShrinkGuardConfig(part=0.5))
        )
        stage.answer("a", "b", "c")
        stage.answer()
        a = an_identity("a")
        for drained in ({a: 0}, {}):
            stage.registry.set_drained(drained)
            assert stage.upstream("a").verdict.is_gone

    def test_has(self) -> None:
        """Only what Consul knows now can be ordered about."""
        stage = Stage()
        assert not stage.registry.has(an_identity("a"))
        stage.answer("a")
        assert stage.registry.has(an_identity("a"))
        stage.answer("b")
        assert not stage.registry.has(an_identity("a"))

    def test_has_while_any_answer_does(self) -> None:
        """
        An instance may be in several answers, which change and are forgotten one by
        one.
        """
        registry, web, mail = (
            Registry(lambda: 0.0),
            ServiceQuery("web"),
            ServiceQuery("mail"),
        )
        a, b = an_identity("a"), an_identity("b")
        registry.replace(web, instances("a", "b"))
        registry.apply(mail, instances("a"), [])
        registry.apply(mail, instances("a"), [b])
        registry.replace(web, instances("b"))
        assert (registry.has(a), registry.has(b)) == (True, True)
        registry.apply(mail, [], [a])
        assert (registry.has(a), registry.has(b)) == (False, True)
        registry.keep_only([])
        assert (registry.has(a), registry.has(b)) == (False, False)


def test_eject() -> None:
    """An operator ejects one in all mappings in which others suffice."""
    stage = Stage(WEB, V2)
    stage.answer(an_instance("a", tags=["v2"]), "b", "c")
    assert stage.registry.eject(an_identity("a")) == ""
    assert stage.chosen() == {"b", "c"}
    assert stage.chosen(number=1) == {"a"}
    assert stage.told == [("ejected", "a", "by hand")]
    again = stage.registry.eject(an_identity("a"))
    assert again == "it is already ejected 0 s ago: by hand, back in 10 s"
    assert stage.registry.eject(an_identity("z")) == "no mapping selects it"


def test_since() -> None:
    """An upstream stands as it does since that changed, not since the last answer."""
    stage = Stage(PoolSpec(ServiceQuery("web"), slow_start=10.0))
    stage.answer("a")

    def stands(name: str) -> tuple[Standing, float]:
        state = stage.pool().state(stage.upstream(name))
        return state.standing, state.since

    assert stands("a") == (Standing.SERVING, 1000.0)
    stage.now += 5
    stage.answer(an_instance("a", weight=3), "b")
    assert stands("a") == (Standing.SERVING, 1000.0)
    assert stands("b") == (Standing.WARMING, 1005.0)
    stage.later(10)
    assert stands("b") == (Standing.SERVING, 1015.0)


def test_doubted() -> None:
    """A suspect upstream has that standing, with Consul's reason."""
    stage = Stage(PoolSpec(ServiceQuery("web"), caution=ShrinkGuardConfig(part=0.5)))
    stage.answer("a", "b", "c")
    stage.answer()
    state = stage.pool().state(stage.upstream("a"))
    assert (state.standing, state.reason) == (Standing.SUSPECT, "deregistered")


class TestPending:
    """Host names of an answer are being looked up."""

    def test_answered_when_all_is_known(self) -> None:
        """While host names are still looked up, an answer is not complete."""
        registry = Registry(lambda: 0.0)
        pool = registry.pool(WEB)
        registry.replace(WEB.query, [], pending=True)
        assert not registry.answered(WEB.query)
        assert registry.pending(WEB.query)
        registry.replace(WEB.query, [an_instance("a")], pending=True)
        assert not registry.answered(WEB.query)
        assert len(pool.candidates) == 1  # used at once
        registry.replace(WEB.query, [an_instance("a")])
        assert registry.answered(WEB.query)
        assert not registry.pending(WEB.query)

    def test_known_to_be_none(self) -> None:
        """An answer whose host names have no address is complete as well."""
        registry = Registry(lambda: 0.0)
        registry.replace(WEB.query, [], pending=True)
        registry.replace(WEB.query, [])
        assert registry.answered(WEB.query)

    def test_what_was_answered_stays_so(self) -> None:
        """Names that are new in a later answer make nothing uncertain."""
        registry = Registry(lambda: 0.0)
        registry.replace(WEB.query, [an_instance("a")])
        registry.replace(WEB.query, [an_instance("a")], pending=True)
        registry.apply(WEB.query, [an_instance("b")], [], pending=True)
        assert registry.answered(WEB.query)

    def test_what_another_process_knows(self) -> None:
        """The same holds where a worker gets the answer from the master."""
        registry = Registry(lambda: 0.0)
        registry.replace(WEB.query, [], pending=True)
        registry.apply(WEB.query, [an_instance("a")], [], pending=True)
        assert not registry.answered(WEB.query)
        registry.apply(WEB.query, [], [])
        assert registry.answered(WEB.query)

    def test_forgotten(self) -> None:
        """
        A query that no mapping needs is not waited for, and starts over when needed
        again.
        """
        registry = Registry(lambda: 0.0)
        registry.replace(WEB.query, [], pending=True)
        registry.keep_only(())
        registry.replace(WEB.query, [], pending=True)
        assert not registry.answered(WEB.query)

    def test_usable(self) -> None:
        """
        An answer suffices if each mapping of the query has an upstream by its own
        rules.
        """
        registry = Registry(lambda: 0.0)
        tagged = evolve(WEB, rules=InstanceFilter(tag="blue"))
        for selection in (WEB, tagged):
            registry.pool(selection)
        registry.replace(WEB.query, [an_instance("a")], pending=True)
        assert not registry.usable(WEB.query)
        registry.replace(WEB.query, [an_instance("a", tags=("blue",))], pending=True)
        assert registry.usable(WEB.query)
