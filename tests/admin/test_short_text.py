"""Short texts for a terminal."""

import pytest

from lbconsul.admin.short_text import size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"), (0, "0 ms"), (0.00123, "1.23 ms"), (0.25, "0.25 s"),
        (1.5, "1.5 s"), (0.9999, "1 s"), (59, "59 s"), (60, "1 m 0 s"),
        (754.2, "12 m 34 s"),
        (3600, "1 h 0 m"), (93_784, "1 d 2 h"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    """Times are short."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (164_095_620, "164 MB"),
     (2.5e9, "2.5 GB"), (3e12, "3 TB"), (1.5e15, "1500 TB")],
)  # fmt: skip
def test_sizes(count: float, text: str) -> None:
    """Sizes have units."""
    assert size(count) == text
