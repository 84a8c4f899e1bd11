"""Tests for tests.autobahn.verdicts."""

import pytest

from tests.autobahn.verdicts import summary, worse


def said(behavior: str, end: str = "OK") -> dict[str, object]:
    """Autobahn's index of one case."""
    return {"behavior": behavior, "behaviorClose": end, "duration": 2}


DIRECT = {"1.1.1": said("OK"), "6.4.1": said("NON-STRICT"), "10.1.1": said("OK")}


@pytest.mark.parametrize(
    ("through", "found"),
    [
        (DIRECT, {}),
        (DIRECT | {"6.4.1": said("OK")}, {}),
        (
            DIRECT | {"10.1.1": said("FAILED"), "1.1.1": said("OK", "UNCLEAN")},
            {
                "1.1.1": "OK and UNCLEAN, directly OK and OK",
                "10.1.1": "FAILED and OK, directly OK and OK",
            },
        ),
        (
            DIRECT | {"6.4.1": said("NEW")},
            {"6.4.1": "NEW and OK, directly NON-STRICT and OK"},
        ),
        (
            {name: DIRECT[name] for name in ("1.1.1", "10.1.1")},
            {"6.4.1": "missing and missing, directly NON-STRICT and OK"},
        ),
    ],
)
def test_worse(through: dict[str, dict[str, object]], found: dict[str, str]) -> None:
    """A case that is worse through the gateway is found, and one that is missing."""
    assert worse(DIRECT, through) == found


def test_summary() -> None:
    """Verdicts are counted, the best first."""
    assert summary(DIRECT) == "3 cases: 2 OK, 1 NON-STRICT; ends: 3 OK"
