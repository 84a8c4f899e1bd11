"""Parses sizes in bytes, and shows them.

As in `lbconsul.config.values`, each function that parses raises `ValueError` whose
text says what would be right.
"""

import re
from collections.abc import Callable

_BYTES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d{1,12})(|KiB|MiB|GiB)")


def size(least: int, most: int) -> Callable[[str], int]:
    """A parser of ``8192``, ``32KiB``, ``1MiB`` or ``1GiB``, from `least` to `most`."""

    def parse(text: str) -> int:
        found = _bytes(text)
        if found is None or not least <= found <= most:
            raise ValueError(
                f"must be a size such as 8KiB or 1MiB, from {size_text(least)} to"
                f" {size_text(most)}"
            )
        return found

    return parse


def size_or_off(least: int = 1) -> Callable[[str], int]:
    """A parser of sizes as `size` reads them, from `least` on; 0 for ``off``."""

    def parse(text: str) -> int:
        if text in ("off", "0"):
            return 0
        found = _bytes(text)
        if found is None or found < least:
            raise ValueError(
                f"must be a size such as 512KiB, 10MiB or 1GiB, from {size_text(least)}"
                " on, or off"
            )
        return found

    return parse


def rate_or_off(text: str) -> int:
    """Bytes a second from ``1KiB/s``, whose ``/s`` may be left out; 0 for ``off``."""
    if text in ("off", "0"):
        return 0
    rate = _bytes(text.removesuffix("/s"))
    if not rate:
        raise ValueError("must be a rate such as 500/s or 1KiB/s, or off")
    return rate


def size_text(size: int) -> str:
    """A size as it is written, in the largest unit that divides it; ``off`` for 0."""
    if not size:
        return "off"
    unit = max(
        (each for each, factor in _BYTES.items() if not size % factor),
        key=_BYTES.__getitem__,
    )
    return f"{size // _BYTES[unit]}{unit}"


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _BYTES[match[2]] if match else None
