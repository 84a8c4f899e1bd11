"""Rates of clients, counted in memory of a fixed size."""

from collections.abc import Iterable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.limits.rate_table import CELL, WAYS, Bucket, RateTable

#: Bytes before the cells of a table.
HEAD = 64


def table_of(sets: int = 1, secret: bytes = b"s" * 16) -> RateTable:
    return RateTable(memoryview(bytearray(HEAD + sets * WAYS * CELL)), secret)


def admitted(bucket: Bucket, times: Iterable[float]) -> list[float]:
    """The times at which a token was there."""
    return [each for each in times if not bucket.take(each)]


RATES = st.tuples(
    st.integers(1, 100_000), st.sampled_from([1.0, 10.0, 60.0, 3600.0, 86400.0])
)
GAPS = st.lists(st.floats(0, 20), max_size=60)


@given(RATES, st.integers(1, 20), GAPS, st.floats(0, 1e6))
def test_never_more_than_the_burst_and_the_rate(
    rate: tuple[int, float], burst: int, gaps: list[float], start: float
) -> None:
    """In any time at most the burst is admitted and what the rate allows in it."""
    interval = rate[1] / rate[0]
    bucket = Bucket(table_of(), b"client", interval, burst)
    # The gaps are in intervals: from floods to pauses.
    times = [start + interval * each for each in accumulate(gaps)]
    found = admitted(bucket, times)
    for number, begin in enumerate(found):
        for count, end in enumerate(found[number:], 1):
            assert count <= burst + (end - begin + 2e-6) / interval


@given(
    RATES, st.integers(1, 20), st.lists(st.floats(1, 20), max_size=60),
    st.floats(0, 1e6),
)  # fmt: skip
def test_never_refuses_who_keeps_below_the_rate(
    rate: tuple[int, float], burst: int, gaps: list[float], start: float
) -> None:
    """A client that leaves as much time between two as the rate asks is admitted."""
    interval = rate[1] / rate[0]
    bucket = Bucket(table_of(), b"client", interval, burst)
    times = [start + interval * each for each in accumulate(gaps)]
    assert admitted(bucket, times) == times


@given(RATES, st.integers(1, 20), GAPS)
def test_the_wait_is_true(
    rate: tuple[int, float], burst: int, gaps: list[float]
) -> None:
    """After as long as a refused client is told, it is admitted; not much before."""
    interval = rate[1] / rate[0]
    table = table_of()
    bucket = Bucket(table, b"client", interval, burst)
    for now in (1.0 + interval * each for each in accumulate(gaps)):
        wait = bucket.take(now)
        if wait:
            assert wait <= interval
            if wait > 2e-5:
                assert bucket.take(now + wait - 1e-5)
            assert not bucket.take(now + wait + 1e-7)
            return


def test_a_clock_that_is_set_back() -> None:
    """No client waits for as long as the clock was set back."""
    bucket = Bucket(table_of(), b"client", 10.0, 1)
    assert not bucket.take(5000.0)
    assert not bucket.take(1000.0)
    assert bucket.take(1000.0)


def test_a_refusal_costs_nothing() -> None:
    """A client that goes on in spite of refusals gets as much as one that waits."""
    bucket = Bucket(table_of(), b"client", 0.1, 1)
    times = [10 + each / 1000 for each in range(1001)]
    assert len(admitted(bucket, times)) == 11


def test_what_is_given_back_can_be_taken_again() -> None:
    """A token that was given back is there for the next one."""
    bucket = Bucket(table_of(), b"client", 10.0, 2)
    assert [bucket.take(5.0) for _ in range(2)] == [0.0, 0.0]
    bucket.give_back()
    assert [bool(bucket.take(5.0)) for _ in range(2)] == [False, True]


def test_clients_have_buckets_of_their_own() -> None:
    """One client's requests are not counted for another one."""
    table = table_of()
    for number in range(WAYS):
        bucket = Bucket(table, b"%d" % number, 10.0, 1)
        assert not bucket.take(5.0)
        assert bucket.take(5.0)
        # On another connection of the client.
        assert Bucket(table, b"%d" % number, 10.0, 1).take(5.0)
    assert table.taken[0] == 0


def test_a_full_table_takes_the_cell_that_says_least() -> None:
    """
    Of more clients than have room, that one is forgotten whose bucket would be full
    first; a cell whose bucket is full by now is free.
    """
    table = table_of()
    for number in range(WAYS):
        Bucket(table, b"%d" % number, 10.0 + number, 1).take(5.0)
    first = Bucket(table, b"0", 10.0, 1)
    assert first.take(6.0)
    new = Bucket(table, b"new", 100.0, 1)
    assert not new.take(6.0)
    assert table.taken[0] == 1
    second = Bucket(table, b"1", 11.0, 1)
    assert second.take(6.0)  # is still known
    assert not first.take(16.5)  # now the second one is full, and makes room
    assert table.taken[0] == 1
    first.give_back()
    second.give_back()  # nothing: its cell is another one's
    assert new.take(16.5)


@pytest.mark.parametrize("sets", [1, 1000])
def test_a_flood_of_clients_takes_no_memory(sets: int) -> None:
    """However many clients come, the table has the size that it began with."""
    table = table_of(sets)
    for number in range(20_000):
        assert not Bucket(table, b"%d" % number, 1.0, 5).take(float(number))
    assert len(table.tags) == sets * 2 * WAYS


def test_secrets() -> None:
    """Where a client's cells are cannot be known without the secret."""
    one, other = table_of(1000, b"a" * 16), table_of(1000, b"b" * 16)
    assert one.place(b"client") != other.place(b"client")


def test_processes_share_it() -> None:
    """Another process finds the secret and the counts in the memory."""
    memory = memoryview(bytearray(HEAD + WAYS * CELL))
    here, there = RateTable(memory, b"a" * 16), RateTable(memory)
    assert not Bucket(here, b"client", 10.0, 1).take(5.0)
    assert Bucket(there, b"client", 10.0, 1).take(5.0)
    for each in (here, there):
        each.close()
    memory.release()


def test_another_process_was_here() -> None:
    """A cell that another process changes meanwhile is read again: none is lost."""
    table = table_of()
    bucket = Bucket(table, b"client", 1.0, 1)
    assert not bucket.take(90.0)

    class Times:
        """Those of the table; another process takes the token after the first look."""

        def __init__(self) -> None:
            self.looks = 0
            self.cells = table.times

        def __getitem__(self, at: int) -> float:
            self.looks += 1
            if self.looks == 2:
                self.cells[at] = 101.0
            return float(self.cells[at])

        def __setitem__(self, at: int, time: float) -> None:
            self.cells[at] = time

    table.times = Times()  # type: ignore[assignment]
    assert bucket.take(100.0) == pytest.approx(1.0, abs=0.01)
