"""Policies of an operator's own: what they are kept from."""

import random
from collections.abc import Callable

import pytest

from lbconsul.balance.custom_policy import SLOW, GuardedPolicy, Policy, try_out
from lbconsul.balance.fault import Fault, FaultKind
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Upstream
from lbconsul.balance.upstream_view import UpstreamView
from tests.support.instances import instances, names_of, upstreams

Chance = Callable[[], float]


class First:
    """Chooses the upstream with the least id."""

    def __init__(self, chance: Chance) -> None:
        self.placed: dict[str, UpstreamView] = {}

    def place(self, upstream: UpstreamView) -> None:
        """Remember it."""
        self.placed[upstream.id] = upstream

    def withdraw(self, upstream: UpstreamView) -> None:
        """Forget it."""
        del self.placed[upstream.id]

    def choose(self) -> UpstreamView | None:
        """The first one."""
        return self.placed[min(self.placed)] if self.placed else None


class Stage:
    """A guarded policy with upstreams, and what it reports."""

    def __init__(self, factory: Callable[[Chance], Policy], count: int = 3) -> None:
        self.faults: list[Fault] = []
        self.now = 0.0
        self.policy = GuardedPolicy(
            "pkg:Own",
            factory,
            random.Random(1).random,
            lambda: self.now,
            self.faults.append,
        )
        self.all = upstreams(*[1] * count)
        for each in self.all:
            self.policy.place(each)

    def chosen(self, times: int) -> list[str]:
        """The names of different upstreams that are chosen."""
        chosen = [self.policy.choose() for _ in range(times)]
        return names_of({each for each in chosen if each is not None})

    def told(self) -> list[str]:
        """What was reported."""
        return [f"{each.kind.value} {each}" for each in self.faults]


class TestGuard:
    """What stands between a policy and the connections."""

    def test_policy(self) -> None:
        """A policy's own choice is the one that counts."""
        stage = Stage(First)
        assert stage.chosen(5) == ["0"]
        assert stage.all[0] in stage.policy
        stage.policy.withdraw(stage.all[0])
        assert stage.all[0] not in stage.policy
        assert stage.chosen(5) == ["1"]
        assert not stage.faults

    def test_no_upstream(self) -> None:
        """None is right where no upstream is placed."""
        stage = Stage(First, count=0)
        assert stage.policy.choose() is None
        assert not stage.faults

    @pytest.mark.parametrize("method", ["place", "withdraw", "choose"])
    def test_exception(self, method: str) -> None:
        """From an exception on least connections chooses, and one line says why."""
        stage = Stage(First)

        def fail(*arguments: object) -> None:
            raise KeyError("x")

        setattr(stage.policy._own, method, fail)
        stage.policy.place(stage.all[0])
        stage.policy.withdraw(stage.all[0])
        assert stage.chosen(50) == ["1", "2"]
        stage.policy.place(stage.all[0])
        stage.policy.withdraw(stage.all[1])
        assert stage.chosen(50) == ["0", "2"]
        assert len(stage.faults) == 1
        assert stage.told()[0].startswith(
            f"failed pkg:Own: {method} raised KeyError: 'x' (test_custom_policy.py, l"
        )
        assert stage.told()[0].endswith(
            "; leastconn replaces it in this pool until the next start"
        )

    def test_constructor(self) -> None:
        """A policy that cannot even be made is replaced at once."""

        def make(chance: Chance) -> Policy:
            raise SystemExit(3)

        stage = Stage(make)
        assert stage.chosen(50) == ["0", "1", "2"]
        assert stage.told()[0].startswith(
            "failed pkg:Own: the constructor raised SystemExit: 3 (test_custom"
        )

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            (None, "returned None, though 3 upstreams are placed"),
            ("web-1", "returned str, which is no upstream"),
            (upstreams(1)[0], "returned dc1/node-1/0, which is not placed"),
        ],
    )
    def test_wrong_choice(self, wrong: object, why: str) -> None:
        """What may not be chosen is not: a withdrawn upstream, or none at all."""
        stage = Stage(First)
        setattr(stage.policy._own, "choose", lambda: wrong)  # noqa: B010
        assert stage.chosen(50) == ["0", "1", "2"]
        assert len(stage.faults) == 1
        assert stage.told()[0].startswith(f"failed pkg:Own: choose {why}; leastconn")

    def test_slow(self) -> None:
        """A policy that takes long is named each time, and goes on."""
        stage = Stage(First)
        choose = stage.policy._own.choose  # type: ignore[union-attr]

        def slowly() -> UpstreamView | None:
            stage.now += 2 * SLOW
            return choose()

        setattr(stage.policy._own, "choose", slowly)  # noqa: B010
        assert stage.chosen(2) == ["0"]
        assert [each.kind for each in stage.faults] == [FaultKind.SLOW] * 2
        assert str(stage.faults[0]) == (
            "pkg:Own: choose took 10 ms, while all clients of its process waited"
        )


class Keyed(First):
    """Chooses by the number that a key ends with; "x" is a wrong choice."""

    def choose_for(self, key: str) -> UpstreamView | None:
        return None if key == "x" else list(self.placed.values())[int(key)]


class TestKeys:
    """What `hash-by` says of a connection, for a policy that considers it."""

    def test_a_policy_gets_the_key(self) -> None:
        """One that has `choose_for` is asked by the text of the key."""
        stage = Stage(Keyed)
        chosen = stage.policy.choose_for(HashKey.of(b"2"))
        assert chosen is stage.all[2]

    def test_a_policy_without_a_use_for_it(self) -> None:
        """Others choose as for a connection without a key."""
        stage = Stage(First)
        assert stage.policy.choose_for(HashKey.of(b"2")) is stage.policy.choose()

    @pytest.mark.parametrize("key", [b"x", b"nine", b"\xff"])
    def test_a_wrong_choice(self, key: bytes) -> None:
        """A key from outside that the policy fails with costs no connection."""
        stage = Stage(Keyed)
        assert stage.policy.choose_for(HashKey.of(key)) in stage.all
        assert stage.policy.choose_for(HashKey.of(b"2")) in stage.all
        assert "choose_for" in "".join(stage.told())


class _Lacking:
    def __init__(self, chance: Chance) -> None:
        """Takes chance as a policy does."""

    def place(self, upstream: UpstreamView) -> None:
        """Do nothing."""


class _Hasty(First):
    def choose(self) -> UpstreamView | None:
        """Fails without an upstream."""
        return self.placed[min(self.placed)]


class _NoChance(First):
    def __init__(self) -> None:
        """Takes nothing."""


class TestTryOut:
    """What is found before a policy is used."""

    def test_sound(self) -> None:
        """Nothing is said of a sound policy."""
        assert try_out(First, lambda: 0.0) == ""

    @pytest.mark.parametrize(
        ("factory", "why"),
        [
            (_Lacking, "has no withdraw, choose: a policy has place(upstream), withd"),
            (_Hasty, "choose raised ValueError: min() "),
            (_NoChance, "the constructor raised TypeError: _NoChance.__init__() tak"),
        ],
    )
    def test_unsound(self, factory: Callable[[Chance], Policy], why: str) -> None:
        """A mistake is told in a few words."""
        said = try_out(factory, lambda: 0.0)
        assert said.startswith(why)
        assert "leastconn" not in said


def test_in_a_pool() -> None:
    """A registry makes the pools of a mapping with the policy that it names."""
    made: list[GuardedPolicy] = []

    def find(name: str) -> Callable[[Chance], GuardedPolicy]:
        def make(chance: Chance) -> GuardedPolicy:
            faults: list[Fault] = []
            made.append(GuardedPolicy(name, First, chance, lambda: 0.0, faults.append))
            return made[-1]

        return make

    registry = Registry(lambda: 0.0, policies=find)
    spec = PoolSpec(ServiceQuery("web"), policy="pkg:First", limit=2)
    failover = registry.failover(FailoverSpec((spec,)))
    many: list[Instance] = instances("a", "b")
    registry.replace(ServiceQuery("web"), many)
    leases = [failover.lease() for _ in range(4)]
    assert [each.upstream.service_id for each in leases] == ["a", "a", "b", "b"]
    leases[0].end()
    assert failover.lease().instance.identity.service_id == "a"
    assert len(made) == 3
    assert isinstance(leases[0].upstream, Upstream)
