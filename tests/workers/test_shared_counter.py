"""Several tallies on one table: whatever each counts, all know it."""

import gc
import random
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lbconsul.balance.instance import Identity
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease
from lbconsul.workers.shared_counter import SharedCounter, SharedLoad
from lbconsul.workers.shared_table import RING, Table
from tests.support.instances import an_identity, an_upstream, instances

A, B = an_identity("a"), an_identity("b")
WEB = PoolSpec(ServiceQuery("web"))


@pytest.fixture
def table() -> Iterator[Table]:
    """A table for three."""
    table = Table.create(3)
    yield table
    del table  # its memory goes with the last who looks at it


class Told:
    """Records the calls that a pool gets about a load."""

    def __init__(self, load: SharedLoad) -> None:
        self.opens: list[int] = []
        upstream = an_upstream()
        upstream.load = load
        upstream.loaded = lambda each: self.opens.append(each.load.open)
        load.upstreams.append(upstream)


def counters(table: Table, **slots: int) -> list[SharedCounter]:
    """A tally for each row."""
    known = {an_identity(name): slot for name, slot in slots.items()}
    return [SharedCounter(table, row, known.get) for row in range(table.rows)]


def test_told(table: Table) -> None:
    """A process learns what others count when it catches up, and its pools with it."""
    one, other, _ = counters(table, a=0)
    load, told = one.load(A), Told(one.load(A))
    theirs = other.load(A)
    theirs.add(1)
    theirs.add(1)
    assert load.open == 0
    one.sync()
    one.sync()
    assert (load.open, told.opens) == (2, [2])
    load.add(1)
    assert (load.open, told.opens) == (3, [2, 3])
    assert [each.open_connections() for each in (one, other)] == [1, 2]


def test_nobody_is_told_of_nothing(table: Table) -> None:
    """A connection that comes and goes between two syncs is no change."""
    one, other, _ = counters(table, a=0)
    load, told = one.load(A), Told(one.load(A))
    theirs = other.load(A)
    theirs.add(1)
    theirs.add(-1)
    one.sync()
    assert (load.open, told.opens) == (0, [])


def test_an_instance_learned_late(table: Table) -> None:
    """A process that learns of an instance late knows at once what is open there."""
    one, other, _ = counters(table, a=0)
    other.load(A).add(3)
    assert one.load(A).open == 3


@pytest.mark.parametrize("count", [RING - 1, RING, RING + 1, 3 * RING])
def test_far_behind(table: Table, count: int) -> None:
    """A process that has not synced for long counts everything again."""
    one, other, _ = counters(table, a=0, b=9)
    loads = [one.load(each) for each in (A, B)]
    others = [other.load(each) for each in (A, B)]
    others[1].add(5)
    for _ in range(count):
        others[0].add(1)
    one.sync()
    assert [each.open for each in loads] == [count, 5]
    one.sync()
    others[1].add(1)
    one.sync()
    assert loads[1].open == 6


def test_overtaken(table: Table) -> None:
    """Where the writer comes round while one reads its journal, all is counted."""
    one, other, _ = counters(table, a=0, b=1)
    loads = [one.load(each) for each in (A, B)]
    other.load(A).add(1)
    # The number has not moved yet, what it stands for is overwritten already.
    table.heads[2] += RING - 1
    table.rings[1][:] = memoryview(bytes(4 * RING)).cast("I")
    table.cells[1][1] = 7
    one.sync()
    assert [each.open for each in loads] == [1, 7]


def test_a_death(table: Table) -> None:
    """All processes forget what a dead one counted; its successor starts from zero."""
    one, other, third = counters(table, a=0)
    others = [other.load(A), third.load(A)]
    loads = [one.load(A), others[1]]
    others[0].add(3)
    others[1].add(1)
    one.sync()
    table.clear(1)
    for each in (one, third):
        each.sync()
    assert [each.open for each in loads] == [1, 1]
    successor = counters(table, a=0)[1]
    load = successor.load(A)
    assert (load.open, load.mine) == (1, 0)
    load.add(1)
    for each in (one, third):
        each.sync()
    assert [each.open for each in loads] == [2, 2]


def test_recount(table: Table) -> None:
    """
    A change missing in a journal is found in the end; if nothing moved, none is sought.
    """
    one, other, _ = counters(table, a=0)
    load = one.load(A)
    other.load(A).add(1)
    one.recount()
    assert load.open == 1
    table.cells[2][0] = 4  # a processor that shows the number before the cell
    one.recount()
    assert load.open == 1
    table.heads[3] += 1
    one.recount()
    assert load.open == 5


def test_no_slot(table: Table) -> None:
    """An instance without a slot is counted by each process for itself."""
    one, other, _ = counters(table)
    loads = [each.load(A) for each in (one, other)]
    loads[0].add(2)
    other.sync()
    assert [each.open for each in loads] == [2, 0]
    one.recount()
    assert loads[0].open == 2


def test_another_slot(table: Table) -> None:
    """An instance that gets another slot takes its count along."""
    slots: dict[Identity, int] = {}
    one = SharedCounter(table, 0, slots.get)
    load = one.load(A)
    load.add(2)
    for slot in (5, 6):
        slots[A] = slot
        assert one.load(A) is load
        assert (load.open, load.mine) == (2, 2)
        assert table.total(slot) == 2
        assert table.totals(7).count(0) == 6
    del slots[A]
    assert one.load(A) is load
    assert table.total(6) == 0
    load.add(-2)
    slots[A] = 7
    assert one.load(A).slot == 7


def test_a_slot_of_another(table: Table) -> None:
    """A process that held on to a removed instance does not disturb its successor."""
    slots = {A: 3}
    one, other = (SharedCounter(table, row, slots.get) for row in (0, 1))
    gone = one.load(A)
    slots.clear()
    slots[B] = 3
    load = one.load(B)
    load.add(1)
    del gone
    other.load(B).add(1)
    one.sync()
    assert load.open == 2


def test_two_change_places(table: Table) -> None:
    """A process that gets a slot still in use leaves nothing of its own there."""
    slots: dict[Identity, int] = {A: 0, B: 1}
    one, other = (SharedCounter(table, row, slots.get) for row in (0, 1))
    loads = [one.load(each) for each in (A, B)]
    for load, count in zip(loads, (2, 3), strict=True):
        load.add(count)
    theirs = [other.load(each) for each in (A, B)]
    slots.update({A: 1, B: 0})
    for each in (A, B):
        one.load(each)
    assert table.totals(2) == [3, 2]
    for load in loads:
        load.add(1)
    for each in (A, B):
        other.load(each)
    assert [each.open for each in (*loads, *theirs)] == [3, 4, 3, 4]


def test_no_slot_any_more(table: Table) -> None:
    """
    A process whose slot goes to another instance counts alone, and spoils nothing
    there.
    """
    slots: dict[Identity, int] = {A: 3}
    one = SharedCounter(table, 0, slots.get)
    gone = one.load(A)
    slots.clear()
    slots[B] = 3
    load = one.load(B)
    load.add(1)
    gone.add(1)
    assert one.load(A) is gone
    assert (gone.open, load.open, table.total(3)) == (1, 1, 1)
    gone.add(-1)
    del slots[B]
    assert one.load(B).open == 1
    assert table.total(3) == 0


def test_left_behind(table: Table) -> None:
    """
    A released slot gives its late owner no changes, whichever instance has it now.
    """
    slots: dict[Identity, int] = {A: 3}
    one, other = (SharedCounter(table, row, slots.get) for row in (0, 1))
    load = one.load(A)
    slots[A] = 4
    one.load(A)
    slots[B] = 3
    other.load(B).add(5)
    one.sync()
    assert load.open == 0
    one.recount()
    assert load.open == 0


class Crumbling(WeakValueDictionary[int, SharedLoad]):
    """What is in it may go while one looks at its keys."""

    def keys(self) -> Any:
        raise AssertionError("it is gone before its value is asked for")


def test_gone_while_counting(table: Table) -> None:
    """A load that is freed during a recount causes no error."""
    one, other, _ = counters(table, a=0)
    load = one.load(A)
    one._by_slot = Crumbling(one._by_slot.items())
    other.load(A).add(1)
    one.recount()
    assert load.open == 1


def test_forgotten(table: Table) -> None:
    """An unreferenced load is freed, as ever."""
    one, _, _ = counters(table, a=0)
    gone = weakref.ref(one.load(A))
    gc.collect()
    assert gone() is None


def test_ahead(table: Table) -> None:
    """
    A worker knows when it has notably more connections than the others; the master
    never counts as overloaded. Nor does a worker that has died, or does not serve yet.
    """
    master, one, other = counters(table, a=0)
    loads = [each.load(A) for each in (master, one, other)]
    for each in (one, other):
        each.serve()
    loads[0].add(50)
    loads[1].add(4)
    assert not one.is_overloaded()
    loads[1].add(1)
    assert one.is_overloaded()
    assert not other.is_overloaded()
    loads[1].add(95)
    loads[2].add(70)
    assert one.is_overloaded()
    loads[2].add(10)
    assert not one.is_overloaded()
    loads[1].add(100)
    assert one.is_overloaded()
    table.clear(2)
    assert not one.is_overloaded()
    other.serve()
    assert one.is_overloaded()


def test_one_balance(table: Table) -> None:
    """Registries of several processes put each connection where the least are."""
    names = "abc"
    slots = {an_identity(name): slot for slot, name in enumerate(names)}
    chance = random.Random(5)
    registries = []
    for row in range(3):
        counter = SharedCounter(table, row, slots.get)
        registries.append(Registry(chance.random, counter))
        registries[-1].replace(WEB.query, instances(*names))
        registries[-1].pool(WEB)
    leases: list[Lease] = []
    for _ in range(2000):
        if leases and chance.random() < 0.45:
            leases.pop(chance.randrange(len(leases))).end()
        else:
            before = {slot: table.total(slot) for slot in range(3)}
            lease = chance.choice(registries).failover(FailoverSpec((WEB,))).lease()
            leases.append(lease)
            taken = slots[lease.upstream.instance.identity]
            assert before[taken] == min(before.values())
    open_in_each = [each.open_connections() for each in registries]
    assert sum(open_in_each) == len(leases) == sum(table.totals(3))
    for lease in leases:
        lease.end()
    assert table.totals(3) == [0, 0, 0]


ROWS = 4
NAMES = "abcd"

rows = st.integers(0, ROWS - 1)
names = st.sampled_from(NAMES)


class Processes(RuleBasedStateMachine):
    """Processes that open, close, die and come back, in any order."""

    @initialize()
    def begin(self) -> None:
        """All are there; only three of the four instances have a slot."""
        self.table = Table.create(ROWS)
        self.slots = {an_identity(name): slot for slot, name in enumerate(NAMES[:3])}
        self.open: Counter[tuple[int, str]] = Counter()
        self.counters: list[SharedCounter] = []
        self.loads: list[dict[str, SharedLoad]] = []
        for row in range(ROWS):
            self.counters.append(self._counter(row))
            self.loads.append({})

    @rule(row=rows, name=names, count=st.sampled_from([1, 2, RING + 3]))
    def add(self, row: int, name: str, count: int) -> None:
        """Connections are opened, one after the other."""
        for _ in range(count):
            self._load(row, name).add(1)
        self.open[row, name] += count

    @rule(row=rows, name=names)
    def close(self, row: int, name: str) -> None:
        """One is closed."""
        if self.open[row, name]:
            self._load(row, name).add(-1)
            self.open[row, name] -= 1

    @rule(row=rows, name=names)
    def look(self, row: int, name: str) -> None:
        """A process gets to know an instance."""
        self._load(row, name)

    @rule(row=rows)
    def forget(self, row: int) -> None:
        """A process drops what it has no connections to."""
        for name in list(self.loads[row]):
            if not self.open[row, name]:
                del self.loads[row][name]

    @rule(row=rows)
    def sync(self, row: int) -> None:
        """A process looks what is new: it knows it all then."""
        self.counters[row].sync()
        for name, load in self.loads[row].items():
            shared = an_identity(name) in self.slots
            known = range(ROWS) if shared else [row]
            assert load.open == sum(self.open[each, name] for each in known)

    @rule(row=rows)
    def recount(self, row: int) -> None:
        """A process recounts."""
        self.counters[row].recount()
        self.sync(row)

    @rule(row=st.integers(1, ROWS - 1))
    def die(self, row: int) -> None:
        """A process dies, and another one takes its place."""
        self.table.clear(row)
        for name in NAMES:
            self.open[row, name] = 0
        self.counters[row] = self._counter(row)
        self.loads[row] = {}

    @invariant()
    def own_count(self) -> None:
        """Each knows what it has open itself, at any time."""
        for row, counter in enumerate(getattr(self, "tallies", [])):
            mine = sum(self.open[row, name] for name in NAMES)
            assert counter.open_connections() == mine

    def _counter(self, row: int) -> SharedCounter:
        return SharedCounter(self.table, row, self.slots.get)

    def _load(self, row: int, name: str) -> SharedLoad:
        load = self.counters[row].load(an_identity(name))
        self.loads[row][name] = load
        return load


def test_processes() -> None:
    """Whatever processes do, and whenever they look, they come to the same count."""
    options: dict[str, Any] = {"max_examples": 30, "stateful_step_count": 40}
    run_state_machine_as_test(
        Processes,
        settings=settings(
            **options, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
