"""Texts, durations and sizes made fit for a terminal."""

import re
from collections.abc import Iterator

from lbconsul.text import printable

#: What sets a colour takes no room.
_COLOUR = re.compile(r"\x1b\[\d*m")

#: Before the further lines of a sentence that was broken.
_INDENT = "    "


def clean(text: str) -> str:
    """The text without control characters: names in Consul are not trusted."""
    return printable(str(text), "\ufffd")


def span(seconds: float) -> str:
    """A duration in seconds as short text: ``1.5 ms``, ``3 m 20 s``."""
    if seconds < 0.9995:
        is_short = seconds < 0.1
        return f"{max(0, seconds) * 1000:.3g} ms" if is_short else f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, name, lower, lower_name in (
        (86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"),
    ):  # fmt: skip
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            return f"{whole} {name} {rest // lower} {lower_name}"
    return ""


def size(count: float) -> str:
    """A number of bytes as short text, in powers of 1000: ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.0f} {unit}"
        count /= 1000
    return ""


def percent(share: float | None) -> str:
    """A share from 0 to 1; of none, that there is none."""
    return "nothing" if share is None else f"{100 * share:.4g} %"


def broken(line: str, width: int) -> Iterator[str]:
    """A sentence as lines of at most `width` columns; a longer word stays whole."""
    words = line.split(" ")
    shown = words.pop(0)
    for word in words:
        if len(_COLOUR.sub("", f"{shown} {word}")) > width and shown.strip():
            yield shown.rstrip()
            shown = f"{_INDENT}{word}"
        else:
            shown = f"{shown} {word}"
    yield shown
