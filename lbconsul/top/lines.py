"""A line of a terminal as a value: texts with tones; and short numbers.  Pure."""

from collections.abc import Iterable, Iterator

from attrs import frozen

from lbconsul.admin.short_text import broken, clean

#: What a text's look says: all is well, it is not, or not quite; what it is; that it
#: matters less.
PLAIN, GOOD, BAD, WARN, HEAD, FAINT = "", "good", "bad", "warn", "head", "faint"


@frozen
class Line:
    """Texts side by side, each with its tone."""

    spans: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """Without tones."""
        return "".join(text for text, _ in self.spans)


def line(*parts: str | tuple[str, str]) -> Line:
    """A line of plain texts, and of texts with a tone.  All are made fit to print."""
    pairs = ((each, PLAIN) if isinstance(each, str) else each for each in parts)
    return Line(tuple((clean(text), tone) for text, tone in pairs if text))


def paragraph(text: str, width: int, tone: str = PLAIN) -> Iterator[Line]:
    """A sentence, broken at blanks where it is wider."""
    return (line((each, tone)) for each in broken(clean(text), width))


def joined(parts: Iterable[str], width: int, gap: str = "  ") -> str:
    """As many of the parts, from the first on, as have room beside each other."""
    text = ""
    for part in parts:
        longer = f"{text}{gap}{part}" if text else part
        if len(longer) > width:
            break
        text = longer
    return text


def number(value: float) -> str:
    """A count or a rate in at most five characters: ``0``, ``3.4``, ``1234``, ``56k``.

    What is more than nothing is never shown as 0.
    """
    if value <= 0:
        return "0"
    if value < 9.95 and value != int(value):
        return f"{max(value, 0.1):.1f}"
    for unit in ("", "k", "M", "G"):
        if value < 9_999.5 and not unit:
            return f"{value:.0f}"
        if value < 999.5 and unit:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.0f}T"


def plural(count: int, what: str, several: str = "") -> str:
    """``1 mapping``, ``2 mappings``."""
    return f"{count} {what if count == 1 else several or f'{what}s'}"
