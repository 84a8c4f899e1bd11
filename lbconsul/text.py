"""Texts from outside, made fit for a line that people read.  Pure."""

import re

#: A name that says itself: no mapping, option or URL ends within it.
_PLAIN = re.compile(r"""[^\s/?#:,"][^\s/?#:,]*""")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def one_line(text: str, most: int) -> str:
    """The beginning of `text` as one line of printable characters, `most` at most."""
    words = " ".join(text[: 4 * most].split())
    return "".join(char for char in words if char.isprintable())[:most]


def clipped(text: str, most: int) -> str:
    """`text`, or its beginning and an ellipsis if it is longer than `most`."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def quoted(name: str) -> str:
    """A name as a mapping has it: in double quotes if it would not say itself."""
    if _PLAIN.fullmatch(name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """What stands in double quotes, a backslash before each quote or backslash.

    :raises ValueError: the quotes are not closed, or something stands behind them.
    """
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} must end with the quote that closes it")
    return re.sub(r"\\(.)", r"\1", match[1])
