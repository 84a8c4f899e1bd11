"""The credits of splits in the shared memory."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.split import LocalCredits, Split
from lbconsul.config.listen import TCPListen
from lbconsul.workers.shared_credits import CreditSlots, SharedCredits
from lbconsul.workers.shared_table import CREDITS, Table


@pytest.fixture(scope="module")
def tables() -> Iterator[list[Table]]:
    """The shared memory as four processes have it."""
    first = Table.create(4)
    tables = [first, *(Table(os.dup(first.descriptor), 4) for _ in range(3))]
    yield tables
    for each in tables:
        each.close()


@define(eq=False)
class APart:
    """A part that is always usable."""

    name: int
    is_usable: bool = True


PARTS = [APart(number) for number in range(3)]


def splits(
    tables: list[Table], slots: list[int], *weights: float
) -> list[Split[APart]]:
    """The same split in each process."""
    parts = PARTS[: len(weights)]
    return [
        Split(parts, weights, SharedCredits(table, row, slots))
        for row, table in enumerate(tables)
    ]


slots_of_tests = iter(range(0, CREDITS, 3))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200))
def test_chosen_together(tables: list[Table], turns: list[int]) -> None:
    """Whichever process is next, the parts are those that one process would choose."""
    first = next(slots_of_tests)
    several = splits(tables, [first, first + 1, first + 2], 1, 2, 3.5)
    alone = Split(PARTS, (1, 2, 3.5), LocalCredits.of(3))
    assert [several[each].choose() for each in turns] == [alone.choose() for _ in turns]


def test_unevenly_busy(tables: list[Table]) -> None:
    """A process that is given the clients of one part alone never runs over: only
    sums count.
    """
    slots = [CREDITS - 2, CREDITS - 1]
    two = splits(tables, slots, 50, 50)
    counts = Counter[int]()
    for turn in range(1000):
        # Each of two processes always chooses the same part.
        part = two[turn % 2].choose()
        assert part is not None
        counts[part.name] += 1
    assert counts == {0: 500, 1: 500}
    cell = tables[0].credits[slots[0] * 4]
    assert cell > 2**60  # far below 0
    assert SharedCredits(tables[3], 3, slots).totals() == [0, 0]


def test_a_worker_dies(tables: list[Table]) -> None:
    """What it chose still counts, whatever its process was about."""
    slots = [CREDITS - 4, CREDITS - 3]
    before = splits(tables, slots, 5, 95)
    names = [before[each % 3].choose() for each in range(10)]
    tables[0].clear(1)
    names += [before[0].choose() for _ in range(10)]
    assert names.count(PARTS[0]) == 1


WEB, API = TCPListen("0.0.0.0", 80), TCPListen("0.0.0.0", 81)


def found(slots: CreditSlots, *parts: tuple[TCPListen, str]) -> list[int | None]:
    return [slots.find(*each) for each in parts]


def test_slots(tables: list[Table]) -> None:
    """A part keeps its slot as long as it is there; a free one is used again last, and
    nothing is left in it.
    """
    slots, credits = CreditSlots(tables[0], 4), SharedCredits(tables[2], 2, [1])
    credits.charge([(0, 7)], 1)
    assert credits.totals() != [0]
    first = [(WEB, ""), (WEB, "a"), (API, "a")]
    slots.keep(first)
    assert found(slots, *first) == [0, 1, 2]
    assert credits.totals() == [0]
    second = [(WEB, ""), (API, "a"), (API, "b")]
    slots.keep(second)
    assert found(slots, *second, (WEB, "a")) == [0, 2, 3, None]
    slots.keep([(API, "b"), (WEB, "c")])
    assert found(slots, (WEB, "c")) == [0]


def test_more_parts_than_slots(tables: list[Table]) -> None:
    """What is beyond has no slot: each process chooses for itself."""
    slots, parts = CreditSlots(tables[0], 4), [(WEB, str(each)) for each in range(6)]
    slots.keep(parts)
    assert found(slots, *parts) == [0, 1, 2, 3, None, None]
