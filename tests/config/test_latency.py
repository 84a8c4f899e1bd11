"""The rule by which slow instances are ejected."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.latency import SlowRule, slow_rule

RULES = {
    "p99>2s": SlowRule(99, 2.0),
    "p50>250ms": SlowRule(50, 0.25),
    "p95>1.5s;factor=5": SlowRule(95, 1.5, 5.0),
    "p90>1s;samples=10": SlowRule(90, 1.0, 3.0, 10),
    "p75>1s;factor=2.5;samples=200": SlowRule(75, 1.0, 2.5, 200),
}


@pytest.mark.parametrize("text", RULES)
def test_rules(text: str) -> None:
    """A quantile, a time, and with what the two are compared."""
    assert slow_rule(text) == RULES[text]
    assert slow_rule(str(RULES[text])) == RULES[text]
    [mapping] = configure(["c"], [f"80:web,eject-latency={text}"]).mappings
    assert mapping.ejection.slow == RULES[text]


WRONG = {
    "2s": "must be off, or p50, p75",
    "p98>2s": "must be off, or p50, p75",
    "p99>2s;factor=1.2.3": "must be off, or p50, p75",
    "p99>2s;factor=3;factor=4": "must be off, or p50, p75",
    "p99>2s;samples=1.5": "must be off, or p50, p75",
    "p99>2s;width=3": "must be off, or p50, p75",
    "p99>11s": "must have a time from 0.001s to 10s",
    "p99>0s": "must have a time from 0.001s to 10s",
    "p99>2s;factor=1": "must have a factor from 1.5 on, and 10 to 100000 samples",
    "p99>2s;samples=9": "must have a factor from 1.5 on, and 10 to 100000 samples",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_rules(text: str) -> None:
    """What would be right is said."""
    with pytest.raises(ValueError, match=WRONG[text]):
        slow_rule(text)
    assert slow_rule("off") is None
