"""Texts from outside, made fit for a line that people read.  Pure."""


def one_line(text: str, most: int) -> str:
    """The beginning of `text` as one line of printable characters, `most` at most."""
    words = " ".join(text[: 4 * most].split())
    return "".join(char for char in words if char.isprintable())[:most]


def clipped(text: str, most: int) -> str:
    """`text`, or its beginning and an ellipsis if it is longer than `most`."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
