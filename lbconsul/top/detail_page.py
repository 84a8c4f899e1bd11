"""Lines with names and values, of which pages of details are made.  Pure."""

from collections.abc import Iterator, Mapping

from attrs import frozen

from lbconsul.admin.short_text import size, span
from lbconsul.top.figures import Counts, Figures, Key, Status
from lbconsul.top.lines import BAD, FAINT, HEAD, Line, line, number, paragraph

#: The width of the names of values.
_NAMES = 16


@frozen
class Page:
    """The lines about something in these figures, for a terminal of this width."""

    figures: Figures
    width: int

    @property
    def now(self) -> float:
        """The gateway's time."""
        return float(self.figures.status["gateway"]["now"])

    def rates(self, key: Key, *, of_http: bool) -> Iterator[tuple[str, str]]:
        """What happens a second, if that is known."""
        if not self.figures.seconds:
            return
        rates = self.figures.rates.get(key, Counts())
        yield "connections", f"{number(rates.connections)}/s"
        if of_http:
            requests = f"{number(rates.requests)}/s, {number(rates.errors)}/s 5xx"
            yield "requests", requests
        yield "failures", f"{number(rates.failures)}/s"
        yield "in, out", f"{size(rates.received)}/s, {size(rates.sent)}/s"

    def head(self, title: str) -> Iterator[Line]:
        """A title, below an empty line."""
        yield line()
        yield line((title, HEAD))

    def text(self, text: str) -> Iterator[Line]:
        """A sentence."""
        return paragraph(text, self.width)

    def values(self, *pairs: tuple[str, str]) -> Iterator[Line]:
        """Names with their values; those without one are left out."""
        for name, value in pairs:
            if not value:
                continue
            indent = max(_NAMES, len(name)) + 2
            tone = BAD if value in ("ejected", "nothing") else ""
            first, *rest = paragraph(value, max(20, self.width - indent), tone)
            yield line((f"{name.ljust(indent)}", FAINT), *first.spans)
            yield from (line(" " * _NAMES, *other.spans) for other in rest)


def bytes_of(counted: Status) -> str:
    """What was received, and sent."""
    return f"{size(counted['bytes_received'])}, {size(counted['bytes_sent'])}"


def counted(counts: Mapping[str, int]) -> str:
    """Counts that are not 0, with what they are of."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def quantiles_of(counted: Status, what: str, name: str) -> Iterator[tuple[str, str]]:
    """Quantiles over the latest ones, under this name, where the gateway has them."""
    half, most = counted.get(f"{what}_p50"), counted.get(f"{what}_p99")
    if half is not None and most is not None:
        yield name, f"half within {span(half)}, 99 of 100 {span(most)}"
