"""How requests are shared between the targets of a route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.tags.shares import Weighed, shares

GROUPS = st.lists(
    st.builds(
        lambda fixed, weights: Weighed(fixed, len(weights), sum(weights)),
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0]),
        st.lists(st.integers(1, 65535), max_size=4),
    ),
    max_size=5,
)


def _fabio(fixed: list[float]) -> list[float]:
    """fabio's rule for single targets, as its documentation has it."""
    known = [each for each in fixed if each > 0]
    if not known:
        return [1 / len(fixed) for _ in fixed]
    scale = 1.0
    if sum(known) > 1 or (len(known) == len(fixed) and sum(known) < 1):
        scale = 1 / sum(known)
    free = len(fixed) - len(known)
    rest = max(0.0, (1 - sum(known)) / free) if free else 0.0
    return [each * scale if each > 0 else rest for each in fixed]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], []),
        ([Weighed(0, 0, 0)], [0.0]),
        ([Weighed(0.2, 3, 3), Weighed(0, 1, 1)], [0.6, 0.4]),
        ([Weighed(0.1, 10, 10), Weighed(0, 5, 5)], [1.0, 0.0]),
        ([Weighed(0, 1, 1), Weighed(0, 3, 9)], [0.1, 0.9]),
        ([Weighed(0.1, 1, 7), Weighed(0, 1, 1), Weighed(0, 1, 3)], [0.1, 0.225, 0.675]),
        ([Weighed(0.2, 1, 2), Weighed(0.8, 1, 1)], [1 / 3, 2 / 3]),
    ],
)
def test_shares(groups: list[Weighed], expected: list[float]) -> None:
    """A fixed share is of each instance; Consul's weights divide what is left."""
    assert shares(groups) == pytest.approx(expected)


@given(GROUPS)
def test_sum(groups: list[Weighed]) -> None:
    """Shares sum up to 1 if there is an instance; without one a group has none."""
    found = shares(groups)
    assert sum(found) == pytest.approx(1 if any(each.count for each in groups) else 0)
    for group, share in zip(groups, found, strict=True):
        assert share >= 0
        assert group.count or not share


@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 2.0]), min_size=1))
def test_fabio(fixed: list[float]) -> None:
    """With Consul's default weights the shares are fabio's."""
    found = shares([Weighed(each, 1, 1) for each in fixed])
    assert found == pytest.approx(_fabio(fixed))
