"""Sizes in bytes: how they are written, and how they are shown."""

import pytest

from lbconsul.config import sizes


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("1KiB", 1024), ("2MiB", 2 << 20)]
)
def test_size(text: str, size: int) -> None:
    """A size is a number of bytes, or of KiB, MiB or GiB, within its limits."""
    assert sizes.size(1024, 2 << 20)(text) == size


@pytest.mark.parametrize(
    "text", ["", "off", "1023", "3MiB", "1KB", "1 KiB", "1.5KiB", "-1", "²KiB"]
)
def test_no_size(text: str) -> None:
    """The error names the limits."""
    with pytest.raises(
        ValueError, match=r"^must be a size such as 8KiB or 1MiB, from 1KiB to 2MiB$"
    ):
        sizes.size(1024, 2 << 20)(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65_536), ("65537", 65_537), ("10MiB", 10_485_760), ("1GiB", 1 << 30),
        ("off", 0), ("0", 0),
    ],
)  # fmt: skip
def test_size_or_off(text: str, size: int) -> None:
    """Where there may be no limit, it is off."""
    assert sizes.size_or_off(65_536)(text) == size


@pytest.mark.parametrize(
    "text", ["", "10", "10MB", "10 MiB", "1.5MiB", "63KiB", "-1MiB", "1mib"]
)
def test_neither_size_nor_off(text: str) -> None:
    """Neither is any other text, nor less than the least."""
    with pytest.raises(
        ValueError, match=r"such as 512KiB, 10MiB or 1GiB, from 64KiB on, or off$"
    ):
        sizes.size_or_off(65_536)(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("500/s", 500), ("500", 500), ("1KiB/s", 1024), ("off", 0), ("0", 0)],
)
def test_rate(text: str, rate: int) -> None:
    """A rate is a size for each second."""
    assert sizes.rate_or_off(text) == rate


@pytest.mark.parametrize("text", ["", "off/s", "0/s", "1KiB/min", "fast"])
def test_no_rate(text: str) -> None:
    """The error says how a rate is written."""
    with pytest.raises(ValueError, match="must be a rate such as 500/s or 1KiB/s"):
        sizes.rate_or_off(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "off"), (1, "1"), (1025, "1025"), (3 << 10, "3KiB"), (1 << 20, "1MiB")],
)
def test_text(size: int, text: str) -> None:
    """A size is shown in the largest unit that needs no fraction."""
    assert sizes.size_text(size) == text
