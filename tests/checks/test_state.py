"""The state of one check."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.checks.state import CheckState

COUNTS = st.integers(1, 5)


def test_first_result_decides() -> None:
    """Before it nothing is known; one is enough."""
    for passed in (True, False):
        state = CheckState(rise=3, fall=3)
        assert not state.is_settled
        assert state.learn(passed)
        assert state.is_up is passed
        assert state.is_settled


def test_fall_and_rise() -> None:
    """The state changes after so many results in a row against it, and no fewer."""
    state = CheckState(rise=2, fall=3, is_up=True)
    assert [state.learn(False) for _ in range(3)] == [False, False, True]
    assert not state.is_up
    assert [state.learn(each) for each in (True, False, True, True)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert not state.learn(False)
    assert not state.is_settled


@given(COUNTS, COUNTS, st.lists(st.booleans(), min_size=1))
def test_state_is_that_of_the_latest_long_run(
    rise: int, fall: int, results: list[bool]
) -> None:
    """It is the result of the latest run that is long enough, or the first one."""
    state = CheckState(rise, fall)
    changes = [state.learn(each) for each in results]
    expected = results[0]
    for passed, run in groupby(results):
        if len(list(run)) >= (rise if passed else fall):
            expected = passed
    assert state.is_up is expected
    assert state.is_settled is (results[-1] is expected)
    assert sum(changes) >= 1
