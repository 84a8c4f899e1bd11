"""The shrink guard: which upstreams become suspect, for how long, and what they get."""

from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.events import PoolEvent
from lbconsul.balance.instance import Health, Status
from lbconsul.balance.pool_spec import (
    InstanceFilter,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.upstream import Outcome
from tests.support.events import short
from tests.support.instances import an_instance, name_of, names_of
from tests.support.stage import Stage

HALF = ShrinkGuardConfig(part=0.5)
REFUSED, EARLY_CLOSE = Outcome.REFUSED, Outcome.EARLY_CLOSE
CONNECTED, SUCCESS = Outcome.CONNECTED, Outcome.SUCCESS


def _guarded(
    names: Sequence[str],
    caution: ShrinkGuardConfig = HALF,
    *,
    health: frozenset[str] = InstanceFilter().health,
    patience: OutlierConfig = OutlierConfig(),  # noqa: B008 (frozen)
    slow_start: float = 0.0,
) -> Stage:
    """A pool of these instances, of which so much may leave at once."""
    stage = Stage(
        PoolSpec(
            ServiceQuery("web"),
            InstanceFilter(health=health),
            patience=patience,
            caution=caution,
            slow_start=slow_start,
        )
    )
    stage.answer(*names)
    return stage


def _suspects(stage: Stage) -> str:
    """The upstreams in reserve."""
    reserve = stage.pool()._scheduler.reserve
    return "".join(names_of(each for each in stage.upstreams() if each.tier is reserve))


class TestDoubted:
    """Changes that are held back."""

    @pytest.mark.parametrize(
        ("before", "lost", "suspects"),
        [
            ("a", "a", "a"),
            ("ab", "ab", "ab"),
            ("abc", "abc", "abc"),
            ("abc", "ab", "ab"),
            ("abcd", "abc", "abc"),
            ("abcde", "abc", "abc"),
            ("ab", "a", ""),
            ("abc", "a", ""),
            ("abcd", "ab", ""),
            ("abcde", "ab", ""),
            ("abcdef", "abc", ""),
        ],
    )
    @pytest.mark.parametrize("how", ["leave", "turn critical"])
    def test_how_many(self, how: str, before: str, lost: str, suspects: str) -> None:
        """More than half of three or more at once, or all of however few."""
        stage = _guarded(before)
        if how == "leave":
            stage.leave(*lost)
        else:
            stage.turn(lost, "critical")
        assert _suspects(stage) == suspects
        assert stage.chosen() == (set(before) - set(lost) or set(suspects))

    def test_both_ways(self) -> None:
        """Upstreams that turn critical and those that leave are counted together."""
        stage = _guarded("abcde")
        known = stage.known()
        critical = [an_instance(name, status="critical") for name in "ab"]
        stage.answer(*critical, known["d"], known["e"])
        assert _suspects(stage) == "abc"

    def test_another_part(self) -> None:
        """The part may be another one; just as much is not more."""
        stage = _guarded("abcdefghij", ShrinkGuardConfig(part=0.2))
        stage.leave("a", "b")
        assert _suspects(stage) == ""
        stage.leave("a", "b", "c", "d")
        assert _suspects(stage) == "cd"

    def test_one_of_two(self) -> None:
        """Of two one may always leave, however small the part: it says nothing."""
        stage = _guarded("ab", ShrinkGuardConfig(part=0.01))
        stage.leave("a")
        assert (stage.chosen(), stage.told) == ({"b"}, [])

    @pytest.mark.parametrize("percent", range(1, 100))
    def test_just_as_much_is_not_more(self, percent: int) -> None:
        """Of a hundred, 29 are not more than 29 %, whatever floats say; 30 are."""
        names = [str(number) for number in range(100)]
        for lost, suspects in ((percent, 0), (percent + 1, percent + 1)):
            stage = _guarded("", ShrinkGuardConfig(part=percent / 100))
            stage.answer(*names)
            stage.leave(*names[:lost])
            assert len(_suspects(stage)) == len("".join(names[:suspects]))

    def test_with_maintenance(self) -> None:
        """
        Where an operator puts most into maintenance, a check that fails meanwhile makes
        its upstream suspect only if none is left.
        """
        for names, suspects in (("abcde", ""), ("abcd", "d")):
            stage = _guarded(names)
            known = stage.known()
            stage.answer(
                *(an_instance(name, status="maintenance") for name in "abc"),
                an_instance("d", status="critical"),
                *(each for name, each in known.items() if name == "e"),
            )
            assert _suspects(stage) == suspects

    def test_in_steps(self) -> None:
        """
        When the rest leaves after an upstream became suspect, that is held back too.
        """
        stage = _guarded("abcd")
        stage.leave("a", "b", "c")
        assert stage.chosen() == {"d"}
        stage.leave("d")
        assert stage.chosen() == set("abcd")
        assert len(stage.told) == 2

    def test_told_once(self) -> None:
        """One event says which upstreams, of how many, and for how long."""
        stage = _guarded("abcd", ShrinkGuardConfig(part=0.5, hold=12.5))
        stage.leave("a", "b", "c")
        stage.answer("d")
        stage.later(5)
        [event] = stage.events
        assert isinstance(event, PoolEvent)
        assert short(event) == ("suspect", "a b c", "")
        assert (event.query, event.total, event.seconds) == (
            ServiceQuery("web"),
            4,
            12.5,
        )

    def test_a_warning_that_does_not_do(self) -> None:
        """With ``health=passing`` warnings everywhere are as doubtful."""
        stage = _guarded("abc", health=frozenset({"passing"}))
        stage.turn("abc", "warning")
        assert stage.chosen() == set("abc")


class TestBelieved:
    """Changes that are applied at once."""

    @pytest.mark.parametrize("wish", ["maintenance", "weight 0"])
    def test_what_somebody_wants(self, wish: str) -> None:
        """Maintenance and weight 0 of all are deliberate, whatever checks say."""
        stage = _guarded("abcd")
        at_rest = (
            [an_instance(name, status="maintenance") for name in "abcd"]
            if wish == "maintenance"
            else [
                an_instance("a", own_weight=0),
                an_instance("b", weight=0),
                an_instance("c", warning_weight=0, status="warning"),
                an_instance("d", own_weight=0, status="critical"),
            ]
        )
        stage.answer(*at_rest)
        assert stage.chosen() == set()
        assert stage.told == []

    def test_who_was_at_rest_leaves(self) -> None:
        """An upstream that was drained, and is then removed, is gone for good."""
        stage = _guarded("abc")
        stage.answer(*(an_instance(name, own_weight=0) for name in "abc"))
        stage.answer()
        assert (len(stage.pool()), stage.told) == (0, [])

    def test_blue_green(self) -> None:
        """All leave and as many others join in one answer: a deployment."""
        stage = _guarded("abc")
        stage.answer(*"def")
        assert names_of(stage.upstreams()) == ["d", "e", "f"]
        assert stage.told == []

    def test_net_of_those_who_join(self) -> None:
        """Joining upstreams are set against leaving ones in the same answer."""
        stage = _guarded("abcdef")
        stage.answer(*"abxy")  # four left, two joined
        assert stage.told == []
        stage = _guarded("abcdef")
        stage.answer(*"abx")  # four left, one joined; two remain
        assert stage.told == []
        stage = _guarded("abcdef")
        stage.answer(*"ax")
        assert _suspects(stage) == "bcdef"

    def test_first_answers(self) -> None:
        """At the start there is no upstream that could be missing."""
        stage = _guarded("")
        stage.answer(*(an_instance(name, status="critical") for name in "abc"))
        stage.answer()
        assert (stage.chosen(), stage.told) == (set(), [])

    def test_no_guard(self) -> None:
        """With the guard off the last upstream may leave at once."""
        stage = _guarded("abc", ShrinkGuardConfig(part=0.0))
        stage.leave(*"abc")
        assert (len(stage.pool()), stage.told) == (0, [])

    def test_critical_ones_that_are_closed_at_once(self) -> None:
        """
        With ``close-on-critical`` a critical instance is critical; a missing one is
        still suspect.
        """
        caution = ShrinkGuardConfig(part=0.5, critical=False)
        stage = _guarded("abc", caution)
        stage.turn("abc", "critical")
        assert stage.chosen() == set()
        stage = _guarded("abc", caution)
        stage.leave(*"abc")
        assert stage.chosen() == set("abc")
        stage = _guarded("abcd", caution)
        known = [an_instance(name, status="critical") for name in "ab"]
        stage.answer(*known)
        assert _suspects(stage) == "cd"

    def test_a_warning_is_not_critical(self) -> None:
        """With ``close-on-critical`` warnings are held back as ever."""
        caution = ShrinkGuardConfig(part=0.5, critical=False)
        stage = _guarded("abc", caution, health=frozenset({"passing"}))
        stage.turn("abc", "warning")
        assert stage.chosen() == set("abc")


class TestReserve:
    """What those in doubt get."""

    def test_only_where_nobody_else_is_left(self) -> None:
        """
        Suspects get nothing as long as another upstream has room; then they share.
        """
        stage = _guarded("abcd")
        stage.leave("a", "b", "c")
        assert stage.chosen() == {"d"}
        others = {stage.lease(stage.upstream("d")).upstream for _ in range(30)}
        assert names_of(others) == ["a", "b", "c"]

    def test_before_those_that_are_ejected(self) -> None:
        """
        A suspect upstream that failed comes after the others, though Consul lets it
        serve.
        """
        stage = _guarded("abcdef")
        stage.leave("a", "b", "c", "d")
        stage.show("e", *[REFUSED] * 3)
        assert stage.chosen() == {"f"}
        tried = [stage.upstream("f")]
        for _ in range(5):
            tried.append(stage.lease(*tried).upstream)
        assert names_of(tried[1:5]) == ["a", "b", "c", "d"]
        assert name_of(tried[5]) == "e"

    def test_connections_live(self) -> None:
        """Their connections live on, are counted, and are not drained meanwhile."""
        stage = _guarded("ab")
        leases = stage.hold(4)
        stage.leave("a", "b")
        assert [each.load.open for each in stage.upstreams()] == [2, 2]
        assert [each.leave() for each in leases] == [None] * 4
        stage.later(29)
        assert not stage.pool().leaves
        stage.join("a", "b")
        assert stage.registry.open_connections() == 4
        assert {each.load.open for each in stage.upstreams()} == {2}

    def test_least_connections(self) -> None:
        """Suspects are balanced like any others."""
        stage = _guarded("abc")
        stage.leave(*"abc")
        stage.hold(9)
        assert [each.load.open for each in stage.upstreams()] == [3, 3, 3]


class TestPositive:
    """What Consul says of an instance that it still lists is applied at once."""

    def test_blue_and_green(self) -> None:
        """A flip from one set of instances to the other by tags is done at once,
        though the whole pool is another one by it.
        """
        stage = Stage(
            PoolSpec(ServiceQuery("web"), InstanceFilter(tag="live"), caution=HALF)
        )
        blue = [an_instance(name, tags=["blue", "live"]) for name in "abc"]
        green = [an_instance(name, tags=["green"]) for name in "xyz"]
        stage.answer(*blue, *green)
        assert stage.chosen() == {"a", "b", "c"}
        stage.answer(
            *(evolve(each, tags=("blue",)) for each in blue),
            *(evolve(each, tags=("green", "live")) for each in green),
        )
        assert stage.chosen() == {"x", "y", "z"}
        assert stage.told == []

    def test_all_lose_the_tag(self) -> None:
        """So is the end of all upstreams, and their connections drain."""
        stage = Stage(
            PoolSpec(ServiceQuery("web"), InstanceFilter(tag="live"), caution=HALF)
        )
        stage.answer(*(an_instance(name, tags=["live"]) for name in "ab"))
        lease = stage.lease()
        stage.answer(*(an_instance(name) for name in "ab"))
        assert stage.chosen() == set()
        assert stage.told == []
        assert lease.leave() is not None

    def test_doubted_before(self) -> None:
        """A suspect upstream that lost its tag is suspect no more."""
        stage = Stage(
            PoolSpec(ServiceQuery("web"), InstanceFilter(tag="live"), caution=HALF)
        )
        live = [an_instance(name, tags=["live"]) for name in "ab"]
        stage.answer(*live)
        stage.answer(*(evolve(each, health=Health("critical")) for each in live))
        assert _suspects(stage) == "ab"
        stage.answer(evolve(live[0], tags=()), *live[1:])
        assert _suspects(stage) == ""
        assert stage.chosen() == {"b"}

    @pytest.mark.parametrize(
        ("filtered", "reason"),
        [("", "deregistered"), ("x", "deregistered, or no longer matched by filter=")],
    )
    def test_what_is_not_listed(self, filtered: str, reason: str) -> None:
        """
        Consul does not say why an instance is missing: it becomes suspect, and the
        reason names the possibilities.
        """
        stage = Stage(PoolSpec(ServiceQuery("web", filter=filtered), caution=HALF))
        stage.answer("a")
        stage.answer()
        assert stage.pool().state(stage.upstream("a")).reason == reason


class TestRelease:
    """When suspects are confirmed, or are back."""

    def test_after_the_hold(self) -> None:
        """After the hold suspects are confirmed, with an event for each."""
        stage = _guarded("abc")
        lease = stage.lease()
        stage.leave(*"abc")
        stage.later(29.75)
        assert _suspects(stage) == "abc"
        stage.later(0.25)
        assert (stage.chosen(), len(stage.pool())) == (set(), 0)
        assert stage.told[1:] == [
            ("confirmed", name, "deregistered; Consul did not bring it back")
            for name in "abc"
        ]
        leave = lease.leave()
        assert leave is not None
        assert (leave.since, leave.critical) == (stage.now, False)

    def test_critical_after_the_hold(self) -> None:
        """A confirmed critical upstream is out, and yet a member."""
        stage = _guarded("a")
        lease = stage.lease()
        stage.turn("a", "critical")
        stage.later(30)
        assert (stage.chosen(), len(stage.pool())) == (set(), 1)
        assert stage.told[1:] == [
            ("confirmed", "a", "critical; Consul did not bring it back")
        ]
        leave = lease.leave()
        assert leave is not None
        assert (leave.since, leave.critical) == (stage.now, True)

    def test_deregistered_meanwhile(self) -> None:
        """
        A critical suspect that is then removed stays suspect till its time is over.
        """
        stage = _guarded("abc")
        stage.turn("abc", "critical")
        stage.later(20)
        stage.leave("a")
        stage.later(9.75)
        assert stage.chosen() == set("abc")
        stage.later(0.25)
        assert (stage.chosen(), names_of(stage.upstreams())) == (set(), ["b", "c"])

    @pytest.mark.parametrize("outcome", [REFUSED, EARLY_CLOSE])
    def test_by_connecting(self, outcome: Outcome) -> None:
        """One connection that fails, or ends without a word, is proof enough."""
        stage = _guarded("abc")
        stage.leave(*"abc")
        stage.show("b", outcome)
        assert stage.chosen() == {"a", "c"}
        assert stage.told[1:] == [
            ("confirmed", "b", "deregistered; connections to it fail")
        ]
        assert names_of(stage.upstreams()) == ["a", "c"]

    def test_early_ends_that_do_not_count(self) -> None:
        """With ``eject-on-early-close=off`` it says nothing that a connection ends."""
        stage = _guarded("abc", patience=OutlierConfig(early_close=False))
        stage.leave(*"abc")
        stage.show("b", EARLY_CLOSE)
        assert stage.chosen() == set("abc")

    def test_good_connections(self) -> None:
        """Connections that go well do not prove Consul wrong for good."""
        stage = _guarded("abc")
        stage.show("b", REFUSED)
        stage.leave(*"abc")
        old = stage.hold(3)
        for each in old:
            each.showed(CONNECTED)
            each.showed(SUCCESS)
        assert stage.chosen() == set("abc")
        stage.later(30)
        assert stage.chosen() == set()

    def test_back_again(self) -> None:
        """A suspect that Consul has again serves at once, with its whole weight."""
        stage = _guarded("abcd", slow_start=60)
        stage.leave("a", "b", "c")
        stage.join("a")
        assert stage.chosen() == {"a", "d"}
        assert not stage.pool().warms
        assert stage.pool().joins == 0
        stage.later(31)
        assert stage.chosen() == {"a", "d"}

    def test_an_agent_that_fills_up_again(self) -> None:
        """
        An agent that lost its state gets the instances back one by one: no client is
        turned away, and in the end all is as before.
        """
        stage = _guarded("abc", slow_start=60)
        leases = stage.hold(6)
        stage.answer()
        assert stage.chosen() == set("abc")
        for name in "abc":
            stage.later(3)
            stage.join(name)
            assert name in stage.chosen()
        assert stage.chosen() == set("abc")
        stage.later(40)
        assert [each.load.open for each in stage.upstreams()] == [2, 2, 2]
        assert [each.leave() for each in leases] == [None] * 6
        assert len(stage.told) == 1

    def test_lost_again(self) -> None:
        """
        An upstream that came back and is lost again is suspect for the whole time
        again.
        """
        stage = _guarded("a")
        stage.answer()
        stage.later(20)
        stage.join("a")
        stage.later(5)
        stage.answer()
        stage.later(29)
        assert stage.chosen() == {"a"}
        stage.later(1)
        assert stage.chosen() == set()

    @pytest.mark.parametrize("wish", ["maintenance", "weight"])
    def test_then_it_is_wanted_so(self, wish: str) -> None:
        """A suspect that an operator then drains is drained."""
        stage = _guarded("abc")
        stage.turn("abc", "critical")
        known = stage.known()
        altered = (
            an_instance("a", status="maintenance")
            if wish == "maintenance"
            else an_instance("a", own_weight=0)
        )
        lease = stage.lease(stage.upstream("b"), stage.upstream("c"))
        stage.answer(altered, known["b"], known["c"])
        assert stage.chosen() == {"b", "c"}
        assert lease.leave() is not None

    def test_then_it_is_critical(self) -> None:
        """
        With ``close-on-critical`` a missing instance that turns up critical is
        critical.
        """
        stage = _guarded("abc", ShrinkGuardConfig(part=0.5, critical=False))
        stage.answer()
        lease = stage.lease(stage.upstream("b"), stage.upstream("c"))
        stage.answer(an_instance("a", status="critical"))
        assert stage.chosen() == {"b", "c"}
        leave = lease.leave()
        assert leave is not None
        assert leave.critical

    def test_a_trial_under_way(self) -> None:
        """
        A missing upstream that was seen to fail is confirmed at once; the result of its
        probe no longer matters.
        """
        stage = _guarded("ab")
        stage.show("a", *[REFUSED] * 3)
        stage.now += 12
        trial = stage.lease()
        assert trial.probing
        stage.leave("a", "b")
        assert _suspects(stage) == "b"
        trial.showed(REFUSED)
        trial.end()
        assert stage.chosen() == {"b"}

    def test_forgotten_pool(self) -> None:
        """Outcomes of connections of a removed mapping have no effect."""
        stage = _guarded("abc")
        leases = stage.hold(3)
        stage.answer()
        stage.registry.keep_only([])
        for each in leases:
            each.showed(REFUSED)
            each.end()
        assert len(stage.told) == 1


NAMES = st.sampled_from("abcdef")
STATUSES: st.SearchStrategy[Status] = st.sampled_from(
    ["passing", "passing", "warning", "critical"]
)


@given(
    answers=st.lists(
        st.tuples(st.dictionaries(NAMES, STATUSES), st.sampled_from([0, 1, 29, 31])),
        max_size=12,
    )
)
def test_clients_are_served(answers: Sequence[tuple[dict[str, Status], int]]) -> None:
    """
    Whatever checks and registrations do, each client finds an upstream until none has
    been healthy for the hold; and no healthy one waits.
    """
    stage = _guarded("abc")
    last_well = stage.now
    for statuses, pause in answers:
        stage.answer(*(an_instance(n, status=each) for n, each in statuses.items()))
        healthy = {n for n, each in statuses.items() if each != "critical"}
        chosen = stage.chosen(200)
        if len(healthy) > 1:  # more than a fifth of all that there are
            assert chosen == healthy
        elif healthy:
            assert chosen >= healthy
        elif stage.now - last_well < 30:
            assert chosen
        stage.later(pause)
        if healthy:
            last_well = stage.now


def test_the_first_to_come_back() -> None:
    """While instances come back one by one the first ones do not get everything."""
    names = [f"i{number}" for number in range(20)]
    stage = _guarded(names)
    stage.answer()
    for back in range(1, 6):
        stage.answer(*(an_instance(name) for name in names[:back]))
        chosen = stage.chosen(400)
        if back <= 4:
            assert len(chosen) > 10
        else:  # they can bear it
            assert chosen == set(names[:back])


def test_those_that_are_gone_indeed() -> None:
    """
    Where most instances have really gone, no client pays for the guard twice: the first
    failures are retried elsewhere, and then suspects get no more connections.
    """
    names = [f"i{number}" for number in range(20)]
    stage = _guarded(names)
    stage.answer("i0")
    refused = 0
    for _ in range(100):
        lease = stage.lease()
        if name_of(lease.upstream) != "i0":
            refused += 1
            lease.showed(REFUSED)
            lease.end()
            lease = stage.lease(lease.upstream)
        assert name_of(lease.upstream) == "i0"
        lease.end()
    assert refused == 3


def test_one_that_returns_between_two_steps() -> None:
    """
    Changes between two steps of a tick count: an upstream that is back is not removed.
    """
    stage = _guarded("abcd")
    stage.leave("a", "b", "c")
    stage.now += 1000.0
    steps = stage.pool().tick()
    next(steps)
    [gone] = [name for kind, name, _ in stage.told if kind == "confirmed"]
    stage.join("a", "b", "c")
    list(steps)
    assert len([kind for kind, *_ in stage.told if kind == "confirmed"]) == 1
    assert gone in "abc"
    assert stage.chosen() == set("abcd")
