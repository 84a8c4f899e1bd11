"""Outlier detection: which upstreams are ejected, for how long, and how they return."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from lbconsul.balance.events import RegistryEvent, UpstreamEvent
from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import OutlierConfig
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Lease, Load, Outcome, Upstream
from tests.support.events import short
from tests.support.instances import a_pool, an_identity, an_instance, name_of

CONNECTED, REFUSED, EMPTY = Outcome.CONNECTED, Outcome.REFUSED, Outcome.EMPTY
SUCCESS, EARLY_CLOSE, ERROR = Outcome.SUCCESS, Outcome.EARLY_CLOSE, Outcome.ERROR


class Stage:
    """A pool whose clock the test sets, and the events of its upstreams."""

    def __init__(self, names: str, patience: OutlierConfig = OutlierConfig()) -> None:  # noqa: B008
        self.now = 1000.0
        self.events: list[RegistryEvent] = []
        chance = random.Random(1).random
        self.pool = a_pool(
            LeastConnections(chance), patience=patience, seconds=lambda: self.now
        )
        self.pool._on_event = self.events.append
        self.loads = {name: Load() for name in names}
        for name in names:
            self.join(name)

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """The events of upstreams so far, in short."""
        return [short(each) for each in self.events]

    @property
    def seconds(self) -> list[float]:
        """For how long upstreams were ejected so far."""
        return [each.seconds for each in self.events if each.seconds is not None]

    def join(self, name: str, port: int = 80, status: str = "passing") -> None:
        """An instance joins, or is altered."""
        instance = an_instance(name, port=port, status=status)  # type: ignore[arg-type]
        self.pool.apply([(instance, self.loads.setdefault(name, Load()))])

    def leave(self, name: str) -> None:
        """An instance leaves."""
        self.pool.apply(drop=[an_identity(name)])

    def upstream(self, name: str) -> Upstream:
        """The upstream of an instance."""
        [found] = [each for each in self.pool.upstreams() if name_of(each) == name]
        return found

    def show(self, name: str, *outcomes: Outcome) -> None:
        """Connections to it show this, one after the other."""
        for each in outcomes:
            lease = Lease(self.upstream(name), self.pool, probing=False)
            lease.showed(each)
            lease.end()

    def chosen(self, count: int = 40) -> set[str]:
        """The names of the upstreams that get so many held connections."""
        leases = [self.pool.lease() for _ in range(count)]
        names = set()
        for lease in leases:
            assert lease is not None
            names.add(name_of(lease.upstream))
            if lease.probing:
                lease.showed(CONNECTED)
            lease.end()
        return names

    def trial(self) -> Lease:
        """The next connection, which may be a probe."""
        lease = self.pool.lease()
        assert lease is not None
        assert lease.probing
        return lease


def test_three_refusals_in_a_row() -> None:
    """
    An upstream that refuses three connections in a row is ejected for ten seconds.
    """
    stage = Stage("abc")
    stage.show("a", REFUSED, REFUSED)
    assert stage.chosen() == {"a", "b", "c"}
    stage.show("a", REFUSED)
    assert stage.chosen() == {"b", "c"}
    stage.now += 9.9
    assert stage.chosen() == {"b", "c"}
    [event] = stage.events
    assert isinstance(event, UpstreamEvent)
    assert short(event) == ("ejected", "a", "3 consecutive connect failures")
    assert (event.before, event.after) == (Standing.SERVING, Standing.EJECTED)
    assert round(stage.seconds[0]) == 10


def test_not_in_a_row() -> None:
    """An accepted connection in between restarts the count."""
    stage = Stage("abc")
    for _ in range(5):
        stage.show("a", REFUSED, REFUSED, CONNECTED)
    assert stage.chosen() == {"a", "b", "c"}


def test_ended_at_once() -> None:
    """Connections that end at once, without a word, count half."""
    stage = Stage("abc")
    stage.show("a", *[CONNECTED, EARLY_CLOSE] * 5)
    assert stage.chosen() == {"a", "b", "c"}
    stage.show("a", CONNECTED, EARLY_CLOSE)
    assert stage.chosen() == {"b", "c"}
    assert stage.told == [("ejected", "a", "6 consecutive early closes")]


def test_ended_at_once_now_and_then() -> None:
    """An upstream that succeeds in between is no outlier."""
    stage = Stage("abc")
    stage.show("a", *[EARLY_CLOSE, EARLY_CLOSE, EARLY_CLOSE, SUCCESS] * 5)
    assert stage.chosen() == {"a", "b", "c"}


def test_both_kinds_add_up() -> None:
    """Two refusals and two early ends make three."""
    stage = Stage("abc")
    stage.show("a", EARLY_CLOSE, EARLY_CLOSE, REFUSED, REFUSED)
    assert stage.chosen() == {"b", "c"}
    assert stage.told[0][2] == (
        "2 consecutive connect failures, 2 consecutive early closes"
    )


def test_options() -> None:
    """The number may be another one, or none, and early ends may not count."""
    stage = Stage("abc", OutlierConfig(failures=1))
    stage.show("a", REFUSED)
    assert stage.chosen() == {"b", "c"}
    never = Stage("abc", OutlierConfig(failures=0))
    never.show("a", *[REFUSED] * 50)
    assert never.chosen() == {"a", "b", "c"}
    lenient = Stage("abc", OutlierConfig(early_close=False))
    lenient.show("a", *[EARLY_CLOSE] * 50)
    assert lenient.chosen() == {"a", "b", "c"}


def test_server_errors_eject_where_they_count() -> None:
    """Consecutive server errors eject if the mapping says so; a success ends a row."""
    stage = Stage("abc", OutlierConfig(errors=3))
    stage.show("a", ERROR, ERROR, SUCCESS, ERROR, ERROR)
    assert stage.chosen() == {"a", "b", "c"}
    stage.show("a", ERROR)
    assert stage.chosen() == {"b", "c"}
    assert stage.told[0][2] == "3 consecutive server errors or timeouts"
    stage = Stage("abc")
    stage.show("a", *[ERROR] * 50)
    assert stage.chosen() == {"a", "b", "c"}


def test_a_probe_with_an_error_fails() -> None:
    """An upstream that accepts the probe and gives no good answer stays ejected."""
    stage = Stage("abc")
    stage.show("a", REFUSED, REFUSED, REFUSED)
    stage.now += 20
    probe = stage.pool.lease()
    assert probe is not None and probe.probing
    probe.showed(CONNECTED)
    probe.showed(ERROR)
    probe.end()
    assert stage.seconds[1] > stage.seconds[0]
    assert stage.chosen() == {"b", "c"}


def test_never_the_last() -> None:
    """A pool of one is never empty by our doing."""
    stage = Stage("a")
    stage.show("a", *[REFUSED] * 50)
    assert stage.chosen() == {"a"}


@pytest.mark.parametrize(("names", "most"), [("ab", 1), ("abc", 1), ("abcd", 2)])
def test_never_more_than_half(names: str, most: int) -> None:
    """When all fail, half of them go on being tried."""
    stage = Stage(names)
    for name in names:
        stage.show(name, *[REFUSED] * 9)
    assert len(stage.chosen()) == len(names) - most


def test_half_of_who_may_serve() -> None:
    """A critical upstream does not count for the limit of one half."""
    stage = Stage("abcd")
    stage.join("c", status="critical")
    stage.join("d", status="critical")
    for name in "ab":
        stage.show(name, *[REFUSED] * 9)
    assert len(stage.chosen()) == 1


def test_others_leave() -> None:
    """If too many others leave, ejected ones are needed again."""
    stage = Stage("abcd")
    for name in "ab":
        stage.show(name, *[REFUSED] * 3)
    assert stage.chosen() == {"c", "d"}
    stage.leave("c")
    assert stage.chosen() == {"a", "d"}
    stage.join("d", status="critical")
    assert len(stage.chosen()) == 1
    assert stage.told[2:] == [("restored", "a", "too few others are left")]


def test_trial() -> None:
    """
    When the time is over one connection tries it; the rest follow only once that
    one has proved it.
    """
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    trial = stage.trial()
    assert name_of(trial.upstream) == "a"
    assert stage.chosen() == {"b", "c"}
    trial.showed(CONNECTED)
    assert stage.chosen() == {"b", "c"}
    trial.showed(SUCCESS)
    assert stage.chosen() == {"a", "b", "c"}
    assert stage.told[1:] == [("restored", "a", "a connection succeeded")]
    trial.end()
    assert stage.chosen() == {"a", "b", "c"}


def test_failed_trials() -> None:
    """Each trial that fails doubles the time, up to five minutes."""
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    spans = [10.0]
    for outcome in (REFUSED, EARLY_CLOSE) * 4:
        stage.now += spans[-1] - 0.1
        assert stage.chosen() == {"b", "c"}
        stage.now += 0.2
        stage.trial().showed(outcome)
        spans.append(min(300.0, spans[-1] * 2))
    assert spans[-1] == 300.0


def test_trial_without_a_verdict() -> None:
    """A probe whose client leaves shows nothing: the next one is after ten seconds,
    and each further one in a row after twice as long, up to five minutes.
    """
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    for span in (10, 20, 40, 80, 160, 300, 300):
        trial = stage.trial()
        trial.showed(CONNECTED)
        trial.end()
        trial.end()
        stage.now += span - 0.1
        assert stage.chosen() == {"b", "c"}
        stage.now += 0.2
    reason = stage.pool.state(stage.upstream("a")).reason
    assert "7 consecutive inconclusive probes" in reason
    stage.trial().showed(SUCCESS)
    assert stage.chosen() == {"a", "b", "c"}
    assert len(stage.told) == 2


def test_trial_that_was_empty() -> None:
    """
    A probe on which nothing was sent, such as a health check of a balancer in front,
    costs the upstream nothing and proves nothing. The next probe is always ten seconds
    later.
    """
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    for _ in range(5):
        stage.now += 10.1
        trial = stage.trial()
        trial.showed(CONNECTED)
        trial.showed(EMPTY)
        trial.end()
        assert stage.chosen() == {"b", "c"}
    stage.show("b", EMPTY)
    assert stage.chosen() == {"b", "c"}


def test_trial_that_takes_long() -> None:
    """A probe that has shown nothing for long gives others their turn; what it shows
    in the end counts all the same.
    """
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    long = stage.trial()
    long.put_off()
    assert stage.chosen() == {"b", "c"}
    stage.now += 11
    other = stage.trial()
    long.put_off()
    stage.now += 1000
    assert stage.chosen() == {"b", "c"}, "the other one is under way"
    long.showed(SUCCESS)
    assert stage.chosen() == {"a", "b", "c"}
    other.showed(REFUSED)
    other.end()
    long.end()
    assert stage.chosen() == {"a", "b", "c"}


def test_failure_that_takes_long() -> None:
    """A probe that has given others their turn ejects nothing by its failure."""
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    long = stage.trial()
    long.put_off()
    long.showed(EARLY_CLOSE)
    assert len(stage.told) == 1
    stage.now += 11
    stage.trial().showed(SUCCESS)
    assert stage.chosen() == {"a", "b", "c"}


def test_one_that_hangs() -> None:
    """One of ten comes back, accepts and never answers; clients give up: of 4,000 in
    400 seconds it gets the few that probe it, one at a time.
    """
    names = "abcdefghij"
    stage = Stage(names)
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    begun, counts = stage.now, Counter[str]()
    held: list[tuple[float, Lease]] = []
    for number in range(4000):
        stage.now = begun + number / 10
        while held and held[0][0] <= stage.now:
            held.pop(0)[1].end()
        lease = stage.pool.lease()
        assert lease is not None
        lease.showed(CONNECTED)
        counts[name_of(lease.upstream)] += 1
        if lease.probing:
            held.append((stage.now + 0.5, lease))  # it gives up
        else:
            lease.showed(SUCCESS)
            lease.end()
    # At 0, 10.5, 31, 71.5, 152 and 312.5 s.
    assert counts["a"] == 6
    assert min(counts[each] for each in names[1:]) > 300


@settings(max_examples=20)
@given(
    hung=st.integers(1, 5),
    patience=st.floats(0.05, 30),
    pause=st.floats(0.05, 3),
    failed=st.booleans(),
)
def test_probes_are_few(hung: int, patience: float, pause: float, failed: bool) -> None:
    """However many of ten hang, or refuse, however long clients wait, and however many
    come: an ejected upstream has one of them at a time, and one in ten seconds at most.
    """
    names = "abcdefghij"
    stage, begun = Stage(names), 0.0
    for name in names[:hung]:
        stage.show(name, *[REFUSED] * 3)
    held: dict[str, tuple[float, Lease]] = {}
    probes: dict[str, list[float]] = {name: [] for name in names}
    while begun < 120:
        begun += pause
        stage.now += pause
        for name, (until, probe) in tuple(held.items()):
            if until <= begun:
                del held[name]
                if failed:
                    probe.showed(REFUSED)
                probe.end()
        lease = stage.pool.lease()
        assert lease is not None
        name = name_of(lease.upstream)
        if lease.probing:
            assert name in names[:hung]
            assert name not in held
            held[name] = begun + patience, lease
            probes[name].append(begun)
        else:
            assert name in names[hung:]
            lease.showed(SUCCESS)
            lease.end()
    for times in probes.values():
        pauses = [b - a for a, b in itertools.pairwise([0.0, *times])]
        assert all(each > 9.999 for each in pauses)  # they are sums of floats


def test_one_that_ends_connections_at_once_as_it_should() -> None:
    """
    With eject-on-early-close=off an upstream may close a probe early, too: one that
    failed to answer once is ejected once, and serves again.
    """
    stage = Stage("abc", OutlierConfig(early_close=False))
    stage.show("a", *[REFUSED] * 3)
    for _ in range(2000):
        stage.now += 1
        lease = stage.pool.lease()
        assert lease is not None
        lease.showed(CONNECTED)
        lease.showed(EARLY_CLOSE)
        lease.end()
    assert [each[:2] for each in stage.told] == [
        ("ejected", "a"),
        ("restored", "a"),
    ]
    assert stage.chosen() == {"a", "b", "c"}


@pytest.mark.parametrize("avoided", "ab")
def test_trial_by_one_that_another_failed(avoided: str) -> None:
    """A client that some upstream has failed does not probe another one."""
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    lease = stage.pool.lease([stage.upstream(avoided)])
    assert lease is not None
    assert not lease.probing
    assert name_of(lease.upstream) in "bc"
    assert name_of(stage.trial().upstream) == "a"


def test_many_to_be_tried() -> None:
    """Where half of many are ejected, and due, no client meets two of them."""
    names = "abcdefghij"
    stage = Stage(names)
    for name in names[:5]:
        stage.show(name, *[REFUSED] * 3)
    stage.now += 11
    for _ in range(5):
        trial = stage.trial()
        trial.showed(REFUSED)
        trial.end()
        lease = stage.pool.lease([trial.upstream])
        assert lease is not None
        assert name_of(lease.upstream) in names[5:]
    assert stage.chosen() == set(names[5:])


def test_old_connections() -> None:
    """Older connections to an ejected upstream do not count."""
    stage = Stage("abc")
    old = [Lease(stage.upstream("a"), stage.pool, probing=False) for _ in range(2)]
    stage.show("a", *[REFUSED] * 3)
    old[0].showed(SUCCESS)
    old[1].showed(REFUSED)
    assert stage.chosen() == {"b", "c"}
    assert len(stage.told) == 1


def test_last_resort() -> None:
    """
    An ejected upstream is better than none, for as many connections as have no other:
    they are spread, their failures are no events, and the first success restores it.
    """
    stage = Stage("abcd")
    for name in "ab":
        stage.show(name, *[REFUSED] * 3)
    others = [stage.upstream("c"), stage.upstream("d")]
    assert stage.pool.lease(others) is None
    leases = [stage.pool.lease_ejected(others) for _ in range(20)]
    chosen = Counter(name_of(each.upstream) for each in leases if each)
    assert chosen == {"a": 10, "b": 10}
    for each in leases[:19]:
        assert each is not None
        each.showed(REFUSED)
        each.end()
    assert len(stage.told) == 2
    assert stage.pool.lease_ejected(stage.pool.upstreams()) is None
    last = leases[19]
    assert last is not None
    last.showed(CONNECTED)
    last.showed(SUCCESS)
    assert stage.chosen() == {"c", "d", name_of(last.upstream)}


def test_last_resort_that_is_due() -> None:
    """If its time is over, what nothing else was left for is its probe."""
    stage = Stage("ab")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    lease = stage.pool.lease_ejected([stage.upstream("b")])
    assert lease is not None
    assert stage.chosen() == {"b"}
    lease.showed(REFUSED)
    assert stage.told[1:] == [("ejected", "a", "4 consecutive connect failures")]
    assert round(stage.seconds[1]) == 20


def test_elsewhere() -> None:
    """An instance that moves to another port is a new chance."""
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.join("a")
    assert stage.chosen() == {"b", "c"}
    stage.join("a", port=81)
    assert stage.chosen() == {"a", "b", "c"}
    stage.now += 11
    assert stage.chosen() == {"a", "b", "c"}


def test_elsewhere_meanwhile() -> None:
    """Outcomes at an instance's old address do not count for the new one."""
    stage = Stage("abc")
    old = [Lease(stage.upstream("a"), stage.pool, probing=False) for _ in range(9)]
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    trial = stage.trial()
    stage.join("a", port=81)
    for lease in [trial, *old]:
        lease.showed(REFUSED)
        lease.end()
    assert stage.chosen() == {"a", "b", "c"}
    assert len(stage.told) == 1


def test_critical_meanwhile() -> None:
    """
    An upstream that Consul takes out is not probed; afterwards its count starts over.
    """
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.join("a", status="critical")
    stage.now += 11
    assert stage.chosen() == {"b", "c"}
    assert stage.pool.lease([stage.upstream("b"), stage.upstream("c")]) is None
    stage.join("a")
    assert stage.chosen() == {"a", "b", "c"}


def test_left_and_back() -> None:
    """An instance that left is forgotten; what its connections show then is too."""
    stage = Stage("abc")
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    trial = stage.trial()
    stage.leave("a")
    trial.showed(REFUSED)
    trial.end()
    stage.join("a")
    assert stage.chosen() == {"a", "b", "c"}
    stage.show("a", *[REFUSED] * 3)
    stage.now += 11
    trial = stage.trial()
    stage.leave("a")
    trial.end()
    assert stage.chosen() == {"b", "c"}


def test_jitter() -> None:
    """Many gateways do not come back at the same moment."""
    patience = OutlierConfig()
    assert patience.span(0, 0.0) == 10.0
    assert 10.0 < patience.span(0, 0.5) < 11.0
    assert patience.span(2000, 0.0) == 300.0


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([*Outcome, None])), max_size=60
)


@given(events=EVENTS, sizes=st.integers(1, 4))
def test_somebody_always_serves(
    events: Sequence[tuple[str, Outcome | None]], sizes: int
) -> None:
    """Whatever happens, at most half are ejected, and never all."""
    stage = Stage("abcd"[:sizes])
    for name, outcome in events:
        present = [name_of(each) for each in stage.pool.upstreams()]
        if outcome is None:
            stage.now += 7
            if name in present and len(present) > 1:
                stage.leave(name)
            else:
                stage.join(name)
        elif name in present:
            stage.show(name, outcome)
        assert len(_placed(stage.pool)) >= (len(stage.pool) + 1) // 2


def _placed(pool: Pool) -> list[Upstream]:
    return [each for each in pool.upstreams() if each not in pool._outliers]


def test_a_probe_at_an_address_that_is_gone() -> None:
    """A probe that ends up at an address that its name has no more says nothing of
    the others: the upstream is probed again, and does not stay ejected for ever.
    """
    stage = Stage("bc")

    def resolved(*addresses: str) -> None:
        first, *others = addresses
        instance = evolve(an_instance("a"), address=first, alternates=tuple(others))
        stage.pool.apply([(instance, stage.loads.setdefault("a", Load()))])

    resolved("10.0.0.1", "10.0.0.2")
    stage.show("a", REFUSED, REFUSED, REFUSED)
    stage.now += 20
    probe = stage.trial()
    probe.showed(CONNECTED)
    stage.upstream("a").failed_at("10.0.0.1")  # as another connection finds
    resolved("10.0.0.2", "10.0.0.3")
    probe.showed(SUCCESS)
    probe.end()
    stage.now += 20
    probe = stage.trial()
    probe.showed(SUCCESS)
    probe.end()
    assert stage.chosen() == {"a", "b", "c"}


class TestByHand:
    """An operator ejects an upstream."""

    def eject(self, stage: Stage, name: str) -> str | None:
        """Have it ejected; why it is not."""
        return stage.pool.eject(an_identity(name))

    def test_as_if_it_had_failed(self) -> None:
        """
        A manually ejected upstream gets nothing for ten seconds, and then one probe.
        """
        stage = Stage("abc")
        assert self.eject(stage, "a") == ""
        assert stage.told == [("ejected", "a", "by hand")]
        assert stage.chosen() == {"b", "c"}
        stage.now += 10
        lease = stage.trial()
        assert name_of(lease.upstream) == "a"
        lease.showed(SUCCESS)
        lease.end()
        assert stage.told[1:] == [("restored", "a", "a connection succeeded")]
        assert stage.chosen() == {"a", "b", "c"}

    def test_who_fails_as_well(self) -> None:
        """A failed probe is an event, too."""
        stage = Stage("abc")
        stage.show("a", REFUSED)
        assert self.eject(stage, "a") == ""
        stage.now += 10
        lease = stage.trial()
        lease.showed(REFUSED)
        lease.end()
        assert stage.told[1:] == [
            ("ejected", "a", "by hand, 2 consecutive connect failures")
        ]

    def test_others_must_suffice(self) -> None:
        """Never more than half are ejected, even by an operator."""
        stage = Stage("abcd")
        why = (
            "2 of 4 upstreams serve; at most half may be ejected where a mapping has no"
            " other pool that serves"
        )
        assert [self.eject(stage, name) for name in "abc"] == ["", "", why]
        stage.now += 3
        again = "it is already ejected 3 s ago: by hand, back in 7 s"
        assert self.eject(stage, "a") == again
        assert stage.chosen() == {"c", "d"}
        assert len(stage.told) == 2
        assert self.eject(Stage("a"), "a") == why.replace("2 of 4", "1 of 1")

    def test_who_cannot(self) -> None:
        """
        An upstream that does not serve, or is unknown, cannot be ejected; the reason
        says why.
        """
        stage = Stage("abc")
        stage.join("d", status="maintenance")
        assert self.eject(stage, "d") == "it is not serving: draining, maintenance"
        assert self.eject(stage, "never-seen") is None
        assert stage.told == []


def test_how_it_stands() -> None:
    """An ejected upstream's reason says why, since when and until when."""
    stage = Stage("abc")
    stage.now += 50
    stage.show("a", REFUSED, REFUSED, REFUSED)
    upstream = stage.upstream("a")
    assert list(stage.pool.ejected) == [upstream]
    stage.now += 4
    state = stage.pool.state(upstream)
    assert (state.standing, state.since) == (Standing.EJECTED, 1050.0)
    assert state.reason == (
        "ejected 4 s ago: 3 consecutive connect failures, back in 6 s"
    )
    stage.now += 6
    assert stage.pool.state(upstream).reason.endswith(", a probe is due")
    stage.trial().showed(SUCCESS)
    state = stage.pool.state(upstream)
    assert (state.standing, state.since) == (Standing.SERVING, 1060.0)
    assert list(stage.pool.ejected) == []


def test_how_it_stood() -> None:
    """One whose pool is gone can be looked at still."""
    stage = Stage("abc")
    stage.show("a", REFUSED, REFUSED, REFUSED)
    upstream = stage.upstream("a")
    stage.pool.clear()
    assert stage.pool.state(upstream).standing is Standing.SERVING
