"""The screens over the table: texts to read, and a question."""

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from lbconsul.top.lines import FAINT, HEAD, Line, line
from lbconsul.top.orders import Question
from lbconsul.top.widgets import text_of

#: What a screen to read shows, for a terminal of this width.
Lines = Callable[[int], Iterable[Line]]


class TextScreen(Screen[None]):
    """Lines to read, made anew each second."""

    BINDINGS: ClassVar = [
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", show=False),
        Binding("pageup,ctrl+u", "page(-1)", show=False),
        Binding("g,home", "top", show=False),
        Binding("G,end", "bottom", show=False),
        Binding("escape,enter,q,l,question_mark,h", "dismiss", show=False),
    ]

    def __init__(self, title: str, lines: Lines, *, follows: bool = False) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        #: Whether the end stays in sight while it is.
        self._follows = follows

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield Static(text_of([line((self._title, HEAD))]), id="title")
        with VerticalScroll(id="scroll"):
            yield Static(id="lines")
        keys = line(("j/k", HEAD), " scroll  ", ("Esc", HEAD), " back")
        yield Static(text_of([keys]), id="hints")

    def on_mount(self) -> None:
        """Called by Textual."""
        self.renew()
        self.set_interval(1.0, self.renew)
        self.query_one(VerticalScroll).focus()

    def renew(self) -> None:
        """Show what there is now."""
        scroll = self.query_one(VerticalScroll)
        is_at_end = scroll.scroll_offset.y >= scroll.max_scroll_y
        lines = list(self._lines(self.app.size.width - 1))
        nothing = [line(("nothing so far", FAINT))]
        self.query_one("#lines", Static).update(text_of(lines or nothing))
        if self._follows and is_at_end:
            scroll.scroll_end(animate=False)

    def on_resize(self) -> None:
        """Called by Textual."""
        self.renew()

    def action_scroll(self, step: int) -> None:
        """Scroll by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=step, animate=False)

    def action_page(self, step: int) -> None:
        """Scroll by pages."""
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_relative(y=step * scroll.size.height, animate=False)

    def action_top(self) -> None:
        """Scroll to the first line."""
        self.query_one(VerticalScroll).scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Scroll to the last line."""
        self.query_one(VerticalScroll).scroll_end(animate=False)


class Confirm(ModalScreen[bool]):
    """Asks whether an order is meant."""

    BINDINGS: ClassVar = [
        Binding("y", "dismiss(True)", show=False),
        Binding("n,escape,q", "dismiss(False)", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        head, *others = self._question.lines
        with Vertical(id="question"):
            yield Static(text_of([line((head, HEAD))]))
            for each in others:
                yield Static(each, markup=False)
            verb = f" {self._question.verb}   "
            keys = line(("y", HEAD), verb, ("n", HEAD), " do not")
            yield Static(text_of([line(), keys]))
