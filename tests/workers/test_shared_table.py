"""The shared memory, as several processes have it before them."""

import os
from collections.abc import Iterator

import pytest

from lbconsul.workers.shared_table import MOST_ROWS, RING, SLOTS, Table


@pytest.fixture(params=["memfd", "file"])
def table(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Table]:
    """A table of three rows, in memory or where the system has no such files."""
    if request.param == "file":
        monkeypatch.delattr(os, "memfd_create")
    table = Table.create(3)
    yield table
    table.close()


def test_seen_by_others(table: Table) -> None:
    """Other processes read what one wrote, in the first and the last place."""
    other = Table(os.dup(table.descriptor), 3)
    for row in range(3):
        table.cells[row][0] = row + 1
        table.cells[row][SLOTS - 1] = 100
        table.rings[row][RING - 1] = row
        table.heads[1 + row] = 2**63 + row
    assert [other.total(0), other.total(1), other.total(SLOTS - 1)] == [6, 0, 300]
    assert [other.rings[row][RING - 1] for row in range(3)] == [0, 1, 2]
    assert other.heads.tolist() == [0, 2**63, 2**63 + 1, 2**63 + 2]
    other.close()
    assert table.total(0) == 6


def test_moved(table: Table) -> None:
    """One comparison shows whether any process wrote anything."""
    before = table.moved()
    assert table.moved() == before
    table.heads[3] += 1
    assert table.moved() != before


def test_totals(table: Table) -> None:
    """The totals of many slots are those of each."""
    for row in range(3):
        for slot in range(5):
            table.cells[row][slot] = 10 * row + slot
    assert table.totals(4) == [table.total(slot) for slot in range(4)]
    assert table.totals(0) == []


def test_clear(table: Table) -> None:
    """A row that is cleared counts nothing; the others' are as they were."""
    for row in range(3):
        for slot in (0, 7, SLOTS - 1):
            table.cells[row][slot] = row + 1
    table.heads[2] = 5
    table.clear(1)
    assert [table.total(slot) for slot in (0, 7, SLOTS - 1)] == [4, 4, 4]
    assert table.heads.tolist() == [1, 0, 5, 0]


def test_clear_to_an_end(table: Table) -> None:
    """Only the slots in use are cleared."""
    for slot in (4, 5):
        table.cells[1][slot] = 1
    table.clear(1, 5)
    assert [table.total(slot) for slot in (4, 5)] == [0, 1]


def test_serving(table: Table) -> None:
    """All processes know which ones serve, until a row is cleared."""
    other = Table(os.dup(table.descriptor), 3)
    table.serving[2] = 1
    assert other.serving.tolist() == [0, 0, 1]
    other.clear(2)
    other.close()
    assert table.serving.tolist() == [0, 0, 0]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no seals")
@pytest.mark.parametrize("size", [0, 1 << 30])
def test_sealed(size: int) -> None:
    """No process can shrink or grow the shared memory."""
    table = Table.create(2)
    with pytest.raises(PermissionError):
        os.ftruncate(table.descriptor, size)
    table.close()


def test_the_most_rows() -> None:
    """As many rows as there may be fit, and take no memory unless they are used."""
    table = Table.create(MOST_ROWS)
    table.cells[MOST_ROWS - 1][0] = 1
    table.heads[MOST_ROWS] = 1
    table.serving[MOST_ROWS - 1] = 1
    assert table.total(0) == 1
    assert os.stat(table.descriptor).st_blocks * 512 < 2 << 20
    table.close()
