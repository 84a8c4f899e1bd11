"""Counts of requests under way."""

from lbconsul.limits.request_counts import RequestCount, SharedRequestCounts


def test_one_process() -> None:
    """No more requests begin than may be under way at a time."""
    count = RequestCount()
    assert [count.begin(2) for _ in range(3)] == [True, True, False]
    count.end()
    assert [count.begin(2) for _ in range(2)] == [True, False]


def test_all_processes() -> None:
    """Requests count over all processes, until a process has died."""
    memory = memoryview(bytearray(SharedRequestCounts.size(3)))
    shared = SharedRequestCounts(memory, 3)
    one, other, further = shared.count(7, 1), shared.count(7, 2), shared.count(8, 1)
    assert one.begin(2)
    assert other.begin(2)
    assert not one.begin(2)
    assert further.begin(1)
    shared.clear(2)
    assert one.begin(2)
    assert not other.begin(2)
    del one, other, further
    shared.close()
