"""What a connection costs does not grow with the number of upstreams.

Nothing is timed.  A tracer counts the lines of Python that run in
`lbconsul.balance`, and numbers that count count the comparisons that C does
for us in heaps; both together are the operations of a pick and its release.
"""

import random
import sys
from collections.abc import Callable
from math import log2
from types import FrameType
from typing import Any

import pytest

from lbconsul.balance import policy
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease, Upstream
from tests.support.instances import an_identity, an_instance, upstreams

SIZES = (10, 400, 4_000)
WEIGHTS = (1, 2, 3, 5, 8)

#: So many at each size: enough for what is only done now and then to be done
#: and counted at 400 upstreams, where it comes after some 400 changes.
PICKS = 600

#: Operations that each doubling of the pool may cost.  A heap compares twice
#: for each level that it lets an entry sink, and for tuples twice as often.
PER_DOUBLING = 5


class LineCounter:
    """Counts operations while it is entered."""

    def __init__(self) -> None:
        self.operations = 0
        self._room = Pool.__module__.rpartition(".")[0]

    def __enter__(self) -> "LineCounter":
        self._before = sys.gettrace()  # a measurement of coverage, maybe
        Number.counter = self
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)
        Number.counter = None

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if str(frame.f_globals.get("__name__")).startswith(self._room):
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.operations += 1
        return self._line


class Number(float):
    """A float that counts how often it, and what is made of it, is compared."""

    counter: LineCounter | None = None

    def __lt__(self, other: float) -> bool:
        self._count()
        return float.__lt__(self, other)

    def __gt__(self, other: float) -> bool:
        self._count()
        return float.__gt__(self, other)

    def __eq__(self, other: object) -> bool:
        self._count()
        return float.__eq__(self, other)

    __hash__ = float.__hash__

    def __add__(self, other: float) -> "Number":
        return Number(float(self) + other)

    __radd__ = __add__

    def __truediv__(self, other: float) -> "Number":
        return Number(float(self) / other)

    def _count(self) -> None:
        if Number.counter is not None:
            Number.counter.operations += 1


class Share(int):
    """A share whose quotients are numbers that count."""

    def __rtruediv__(self, other: float) -> Number:
        return Number(other / int(self))


@pytest.fixture(autouse=True)
def _shares_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every key that an upstream is ordered by be a number that counts."""
    ramp = Upstream.ramp

    def counting(self: Upstream, part: float) -> None:
        ramp(self, part)
        self.effective_weight = Share(self.effective_weight)

    monkeypatch.setattr(Upstream, "ramp", counting)


def _numbers(chance: Callable[[], float]) -> Callable[[], float]:
    return lambda: Number(chance())


#: Nothing but the policy; and all that a mapping can have beside it, a limit among
#: them by which a third of all are full.
PLAIN: dict[str, Any] = {}
ALL: dict[str, Any] = {
    "limit": 3,
    "slow_start": 60.0,
    "caution": ShrinkGuardConfig(part=0.5),
}

OPTIONS = pytest.mark.parametrize("options", [PLAIN, ALL], ids=["plain", "all"])


class Gateway:
    """A pool of so many upstreams with two connections for each, in full swing."""

    def __init__(self, name: str, size: int, options: dict[str, Any] = PLAIN) -> None:
        self._dice = random.Random(size)
        self._registry = Registry(_numbers(random.Random(1).random))
        selection = PoolSpec(ServiceQuery("web"), policy=name, **options)
        self.pool = self._registry.pool(selection)
        # The last tenth joins later: where there is a slow start it warms up.
        for first, last in ((0, size - size // 10), (size - size // 10, size)):
            self.put(*range(first, last))
        self._failover = self._registry.failover(FailoverSpec((selection,)))
        self._leases = [self._lease() for _ in range(2 * size)]

    def put(self, *numbers: int, weight: int = 0) -> None:
        """Upstreams of these numbers join, or are altered."""
        self._registry.apply(
            ServiceQuery("web"),
            [
                an_instance(str(n), weight=weight or WEIGHTS[n % len(WEIGHTS)])
                for n in numbers
            ],
            [],
        )

    def drop(self, number: int) -> None:
        """The upstream of this number leaves."""
        self._registry.apply(ServiceQuery("web"), [], [an_identity(str(number))])

    def _lease(self, *failed: Lease) -> Lease:
        return self._failover.lease([each.upstream for each in failed])

    def operations(self, *, failing: bool) -> float:
        """How many a connection takes that begins while another one ends.

        When it is `failing`, the first upstream does not answer, so that
        another is chosen, avoiding that.
        """
        counter = LineCounter()
        for _ in range(PICKS):
            place = self._dice.randrange(len(self._leases))
            old = self._leases[place]
            with counter:
                old.end()
                lease = self._lease()
                if failing:
                    lease.end()
                    lease = self._lease(lease)
            self._leases[place] = lease
        return counter.operations / PICKS


@OPTIONS
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_connection_costs_the_logarithm_at_most(
    name: str, options: dict[str, Any]
) -> None:
    """A connection to one of 4,000 upstreams takes few operations more than to
    one of 10, even when the first one chosen does not answer, with every option set.
    """
    gateways = [Gateway(name, size, options) for size in SIZES]
    for choices, failing in ((1, False), (2, True)):
        small, *larger = (each.operations(failing=failing) for each in gateways)
        assert small > 10 * choices, "nothing was counted"
        for size, cost in zip(SIZES[1:], larger, strict=True):
            doublings = log2(size / SIZES[0])
            assert cost <= small + choices * PER_DOUBLING * doublings


def test_tidying_up_is_paid_for_by_what_made_it_needful() -> None:
    """Upstreams that go through ever new loads make work for least connections now
    and then; spread over the changes, it does not grow with the pool either.
    """
    costs = []
    for size in SIZES[:2]:
        least = policy.LeastConnections(random.Random(1).random)
        many = upstreams(*[1009 + n for n in range(size)])
        for upstream in many:
            least.place(upstream)
        with LineCounter() as counter:
            for change in range(PICKS):
                upstream = many[change % size]
                upstream.load.open += 1 + change
                least.place(upstream)
        costs.append(counter.operations / PICKS)
        assert len(least._equals) < 2 * size + 100
    assert costs[1] <= costs[0] + PER_DOUBLING * log2(SIZES[1] / SIZES[0])


@OPTIONS
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_change_of_one_leaves_the_others_alone(
    name: str, options: dict[str, Any]
) -> None:
    """
    The cost of altering, removing or adding one of 4,000 upstreams is that of one of
    400, but for the logarithm.
    """
    costs = []
    for size in SIZES[1:]:
        gateway = Gateway(name, size, options)
        with LineCounter() as counter:
            for number in range(50):
                gateway.put(number, weight=9)
                gateway.drop(number)
                gateway.put(size + number)
        costs.append(counter.operations / 150)
    assert costs[0] > 20, "nothing was counted"
    assert costs[1] <= costs[0] + 2 * PER_DOUBLING * log2(SIZES[2] / SIZES[1])


def test_what_grows_is_noticed() -> None:
    """A way of choosing that looks at every upstream would not get past this test."""
    costs = []
    for size in SIZES[:2]:
        pool = Gateway("leastconn", size).pool
        with LineCounter() as counter:
            min(pool.upstreams(), key=lambda upstream: upstream.load_score())
        costs.append(counter.operations)
    assert costs[1] > costs[0] + 50 * PER_DOUBLING * log2(SIZES[1] / SIZES[0])
