"""The table with what is above and below it: keys and answers go to a `View`."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Input, Static

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.top.keys import KEYS, help_lines, hints
from lbconsul.top.lines import BAD, GOOD, WARN, Line, paragraph
from lbconsul.top.orders import Question, done
from lbconsul.top.screens import Confirm, TextScreen
from lbconsul.top.view import View
from lbconsul.top.widgets import Clicked, Table, text_of

#: For how long what came of an order is shown, in seconds.
_MESSAGE = 10.0


class Main(Screen[None]):
    """The table, and what is above and below it."""

    BINDINGS: ClassVar = [
        *(Binding(each.codes, each.action, each.help, show=False) for each in KEYS),
        Binding("escape", "unfilter", show=False),
    ]

    def __init__(self, view: View, admin: Admin, clock: Callable[[], float]) -> None:
        super().__init__()
        self._view = view
        self._admin = admin
        self._clock = clock
        self._message = ("", "", 0.0)

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        yield Static(id="summary")
        yield Static(id="head")
        yield Table()
        yield Static(id="note")
        yield Input(id="filter", placeholder="words to look for")
        yield Static(id="hints")

    def on_mount(self) -> None:
        """Called by Textual."""
        self.query_one(Table).focus()
        self.renew()
        # Ages grow without an answer, too.
        self.set_interval(1.0, self.renew)

    def on_resize(self, _: Resize) -> None:
        """Called by Textual."""
        self.renew()

    def renew(self) -> None:
        """Draw what there is now."""
        view, now = self._view, self._clock()
        width, height = self.app.size
        self._set("summary", view.summary(now, width, height))
        layout = view.layout(width - 1)  # beside the bar
        self._set("head", [layout.head])
        table = self.query_one(Table)
        table.show(view.rows, layout, view.cursor, view.gateway_now)
        message, tone, until = self._message
        said = list(paragraph(message, width, tone)) if now < until else []
        self._set("note", said or [view.note(width)])
        self._set("hints", [hints(width)])

    def _set(self, name: str, lines: list[Line]) -> None:
        self.query_one(f"#{name}", Static).update(text_of(lines))

    def say(self, text: str, tone: str) -> None:
        """Show what came of something."""
        self._message = (text, tone, self._clock() + _MESSAGE)
        self.renew()

    def _arranged(self) -> None:
        """The operator goes on: what came of an order has been read."""
        self._message = ("", "", 0.0)
        self.renew()

    def action_move(self, step: int) -> None:
        """Choose a row beside this."""
        self._view.move(step)
        self._arranged()

    def action_page(self, step: int) -> None:
        """Choose a row a page away."""
        self.action_move(step * self.query_one(Table).page)

    def action_edge(self, last: int) -> None:
        """Choose the first row, or the last."""
        self.action_move(len(self._view.rows) * (1 if last else -1))

    def on_clicked(self, event: Clicked) -> None:
        """Called by Textual: choose the row."""
        self.action_move(event.number - self._view.cursor)

    def action_fold(self) -> None:
        """Hide a mapping's upstreams, or show them."""
        self._view.fold()
        self._arranged()

    def action_sort(self) -> None:
        """Sort by what comes next."""
        self._view.sort()
        self._arranged()

    def action_filter(self) -> None:
        """Let the operator type words."""
        words = self.query_one(Input)
        words.add_class("shown")
        words.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Called by Textual: the words are others."""
        self._view.arrange(filter=event.value)
        self._arranged()

    def on_input_submitted(self) -> None:
        """Called by Textual: keys are for the table again."""
        self.query_one(Input).remove_class("shown")
        self.query_one(Table).focus()

    def action_unfilter(self) -> None:
        """Show all rows."""
        self.query_one(Input).value = ""
        self.on_input_submitted()

    def action_details(self) -> None:
        """Show all about the row."""
        chosen = self._view.chosen
        if chosen is not None:
            key = chosen.key if chosen.upstream else (chosen.key[0], "", "")
            self.app.push_screen(
                TextScreen(
                    chosen.name.strip(),
                    lambda width: self._view.details(key, self._clock(), width),
                )
            )

    def action_events(self) -> None:
        """Show what changes."""
        self.app.push_screen(
            TextScreen(
                "Events, the newest last",
                lambda width: self._view.happenings(width),
                follows=True,
            )
        )

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(TextScreen("lbconsul top", help_lines))

    def action_order(self, verb: str) -> None:
        """Ask whether to drain, undrain or eject the upstream."""
        asked = self._view.question(verb)
        if isinstance(asked, str):
            self.say(asked, WARN)
            return

        def answered(is_meant: bool | None) -> None:
            if is_meant:
                self.say(f"{asked.verb} {asked.upstream} ...", WARN)
                order = threading.Thread(target=self._order, args=(asked,), daemon=True)
                order.start()

        self.app.push_screen(Confirm(asked), answered)

    def _order(self, asked: Question) -> None:
        """In a thread: give the order, and say what came of it."""
        try:
            answer = self._admin.order(asked.verb, asked.upstream)
        except CannotAsk as error:
            self._from_thread(self.say, str(error), BAD)
        else:
            self._from_thread(self.say, done(asked, str(answer.get("lasts", ""))), GOOD)

    def _from_thread(self, call: Callable[..., None], *arguments: Any) -> bool:
        """Call this in the app's own thread; whether there still is one."""
        try:
            self.app.call_from_thread(call, *arguments)
        except (RuntimeError, CancelledError):
            return False
        return True

    def answered(self, status: dict[str, Any]) -> bool:
        """Called by the feed's thread."""
        return self._from_thread(self._take, self._view.answered, status)

    def failed(self, error: str) -> bool:
        """Called by the feed's thread."""
        return self._from_thread(self._take, self._view.failed, error)

    def _take(self, take: Callable[[Any, float], None], what: Any) -> None:
        take(what, self._clock())
        self.renew()

    def happened(self, some: Line) -> bool:
        """Called by the feed's thread."""
        return self._from_thread(self._view.happened, some)
