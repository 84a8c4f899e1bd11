"""Tests for policies of your own: ``pip install lbconsul[testing]``.

As in::

    from lbconsul.testing import check_policy

    def test_my_policy() -> None:
        check_policy(MyPolicy)
"""

import random
from collections.abc import Callable

from lbconsul.balance.custom_policy import Policy
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.standing import Standing, Verdict
from lbconsul.balance.upstream import Load, Upstream
from lbconsul.balance.upstream_view import UpstreamView
from lbconsul.extensions.extensions import load_policy

try:
    from hypothesis import HealthCheck, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        RuleBasedStateMachine,
        initialize,
        precondition,
        rule,
        run_state_machine_as_test,
    )
except ImportError as _error:
    raise ImportError(
        "lbconsul.testing needs hypothesis: pip install 'lbconsul[testing]'"
    ) from _error

#: Upstreams that a policy is checked with.
_MANY = 8
_NUMBERS = st.integers(0, _MANY - 1)

#: Steps of one example.
_STEPS = 40


def make_upstream(
    service_id: str = "web-1",
    *,
    weight: int = 1,
    connections: int = 0,
    tags: tuple[str, ...] = (),
    address: str = "192.0.2.1",
    port: int = 80,
) -> UpstreamView:
    """An upstream that serves, in no pool."""
    return _made(service_id, weight, connections, tags, address, port)


def _made(
    service_id: str,
    weight: int = 1,
    connections: int = 0,
    tags: tuple[str, ...] = (),
    address: str = "192.0.2.1",
    port: int = 80,
) -> Upstream:
    identity = Identity("dc1", "node-1", service_id)
    instance = Instance(identity, address, port, address, tags)
    verdict = Verdict(Standing.SERVING, weight, "passing")
    return Upstream(instance, Load(connections), verdict)


def change_upstream(
    upstream: UpstreamView, *, weight: int | None = None, connections: int | None = None
) -> None:
    """Give an upstream of `make_upstream` another weight or load.

    A pool calls `place` of its policy after each such change.
    """
    assert isinstance(upstream, Upstream)
    if weight is not None:
        upstream.verdict = Verdict(Standing.SERVING, weight, "passing")
        upstream.ramp(1.0)
    if connections is not None:
        upstream.load.open = connections


def check_policy(
    policy: str | Callable[[Callable[[], float]], Policy], *, examples: int = 100
) -> None:
    """Use a policy as a pool does, in many ways, and check what it chooses.

    `policy` is what ``policy=`` names, or that name as text.  Whatever joins, leaves,
    fills up or changes its weight: `choose` returns an upstream that is placed, and
    None only if none is; and nothing raises an exception.

    :raises AssertionError: a choice is wrong; hypothesis prints the shortest way there.
    :raises ConfigError: a policy of this name cannot be loaded.
    """
    factory = load_policy(policy) if isinstance(policy, str) else policy
    run_state_machine_as_test(
        lambda: _PolicyMachine(factory),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class _PolicyMachine(RuleBasedStateMachine):
    """A pool's use of one policy."""

    def __init__(self, factory: Callable[[Callable[[], float]], Policy]) -> None:
        super().__init__()
        self._factory = factory
        self._upstreams = [_made(f"web-{number}") for number in range(_MANY)]
        self._placed: set[Upstream] = set()

    @initialize(seed=st.integers(0, 999))
    def make(self, seed: int) -> None:
        """The pool begins with no upstream."""
        self._policy = self._factory(random.Random(seed).random)
        chosen = self._policy.choose()
        assert chosen is None, f"choose() is {chosen} before any upstream is placed"

    @rule(number=_NUMBERS)
    def place(self, number: int) -> None:
        """An upstream joins, or is placed again as it was."""
        upstream = self._upstreams[number]
        self._placed.add(upstream)
        self._policy.place(upstream)
        self._choose()

    @precondition(lambda self: self._placed)
    @rule(number=_NUMBERS)
    def withdraw(self, number: int) -> None:
        """An upstream leaves, is full, or has just failed."""
        upstream = self._member(number)
        self._placed.remove(upstream)
        self._policy.withdraw(upstream)
        self._choose()

    @precondition(lambda self: self._placed)
    @rule(number=_NUMBERS, weight=st.sampled_from([1, 2, 3, 10, 100, 65535]))
    def reweigh(self, number: int, weight: int) -> None:
        """An upstream gets another weight."""
        upstream = self._member(number)
        change_upstream(upstream, weight=weight)
        self._policy.place(upstream)
        self._choose()

    @precondition(lambda self: self._placed)
    @rule(number=_NUMBERS)
    def end(self, number: int) -> None:
        """A connection ends."""
        upstream = self._member(number)
        if upstream.load.open:
            change_upstream(upstream, connections=upstream.load.open - 1)
            self._policy.place(upstream)

    @rule(count=st.integers(1, 5))
    def connect(self, count: int) -> None:
        """Connections come."""
        for _ in range(count):
            chosen = self._choose()
            if chosen is not None:
                change_upstream(chosen, connections=chosen.connections + 1)
                self._policy.place(chosen)

    def _member(self, number: int) -> Upstream:
        members = self._members()
        return members[number % len(members)]

    def _members(self) -> list[Upstream]:
        return sorted(self._placed, key=lambda each: each.id)

    def _choose(self) -> UpstreamView | None:
        chosen = self._policy.choose()
        names = [each.service_id for each in self._members()]
        if chosen is None:
            assert not names, f"choose() is None, but {names} are placed"
        else:
            assert chosen in self._placed, (
                f"choose() is {getattr(chosen, 'service_id', chosen)}; placed: {names}"
            )
        return chosen
