"""Draws lines and the table with Textual."""

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lbconsul.top.columns import Layout
from lbconsul.top.lines import BAD, FAINT, GOOD, HEAD, PLAIN, WARN, Line
from lbconsul.top.rows import Row

#: By tone.  Colours are the terminal's own.
_STYLES = {
    PLAIN: Style(),
    GOOD: Style(color="green"),
    BAD: Style(color="red", bold=True),
    WARN: Style(color="yellow"),
    HEAD: Style(bold=True),
    FAINT: Style(dim=True),
}

_CHOSEN = Style(reverse=True)


def text_of(lines: Iterable[Line]) -> Text:
    """Lines as Textual shows them: names in them mean nothing else."""
    text = Text(no_wrap=True, overflow="crop")
    for number, each in enumerate(lines):
        text.append("\n" if number else "")
        for words, tone in each.spans:
            text.append(words, _STYLES[tone])
    return text


class Clicked(Message):
    """The row with this number was clicked on."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


# The keys of a ScrollView move what is in sight, not the cursor.
class Table(ScrollView, can_focus=True, inherit_bindings=False):
    """The rows, of which only those in sight are made into text."""

    def __init__(self) -> None:
        super().__init__(id="table")
        self._rows: list[Row] = []
        self._layout = Layout(())
        self._cursor = 0
        self._now = 0.0

    def show(self, rows: list[Row], layout: Layout, cursor: int, now: float) -> None:
        """Show these rows; `now` is the gateway's time."""
        self._rows, self._layout, self._cursor, self._now = rows, layout, cursor, now
        self.virtual_size = Size(0, len(rows))
        self._keep_in_sight()
        self.refresh()

    def on_click(self, event: Click) -> None:
        """Called by Textual."""
        number = int(self.scroll_offset.y) + event.y
        if number < len(self._rows):
            self.post_message(Clicked(number))

    @property
    def page(self) -> int:
        """How many rows are in sight."""
        return max(1, self.size.height)

    def _keep_in_sight(self) -> None:
        top = int(self.scroll_offset.y)
        lowest = max(0, self._cursor - self.page + 1)
        wanted = min(max(top, lowest), self._cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """Called by Textual, for one line in sight."""
        width = self.size.width
        number = int(self.scroll_offset.y) + y
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        is_chosen = number == self._cursor
        line = self._layout.line(self._rows[number], self._now, is_selected=is_chosen)
        base = self.rich_style
        segments = [Segment(text, base + _STYLES[tone]) for text, tone in line.spans]
        strip = Strip(segments).adjust_cell_length(width, base)
        return strip.apply_style(_CHOSEN) if is_chosen else strip
