"""What a terminal shows of a gateway, as the operator has arranged it.  Pure.

`now` is the time of a monotonic clock.
"""

from collections import deque
from typing import Any

from attrs import Factory, define, evolve

from lbconsul.text import clipped
from lbconsul.top.columns import Layout, layout, speaks_http
from lbconsul.top.details import details
from lbconsul.top.figures import Figures, History, Key, Status
from lbconsul.top.lines import FAINT, Line, line, paragraph
from lbconsul.top.link import Link
from lbconsul.top.orders import Question, question
from lbconsul.top.problems import Problem, problems
from lbconsul.top.rows import Arrangement, Row, rows
from lbconsul.top.summary import summary

#: Events that are kept.
_EVENTS = 1000

#: What comes of a document that is no status of lbconsul.
_ODD = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


@define(eq=False)
class View:
    """What is known of a gateway, and what of it is shown."""

    link: Link
    has_token: bool
    figures: Figures
    found: list[Problem] = Factory(list)
    arrangement: Arrangement = Factory(Arrangement)
    rows: list[Row] = Factory(list)
    #: The number of the row that is chosen; 0 if there is none.
    cursor: int = 0
    #: What happened, the newest last.
    events: deque[Line] = Factory(lambda: deque[Line](maxlen=_EVENTS))
    _history: History = Factory(History)

    @classmethod
    def of(cls, address: str, status: Status, now: float, *, has_token: bool) -> "View":
        """With the first answer of the gateway at an address.

        :raises LookupError: (or TypeError, ValueError, AttributeError) it is no status.
        """
        view = cls(Link(address, now), has_token, Figures(status))
        view._take(status, now)
        return view

    def answered(self, status: Status, now: float) -> None:
        """The gateway's next answer."""
        try:
            self._take(status, now)
        except _ODD:
            self.failed("the answer is not a status of lbconsul", now)

    def _take(self, status: Status, now: float) -> None:
        link = self.link.answered(status, now)
        figures = self._history.add(status)
        found = problems(figures)
        shown = rows(figures, found, self.arrangement)
        self.link, self.figures, self.found = link, figures, found
        self._show(shown)

    def failed(self, error: str, now: float) -> None:
        """It did not answer."""
        self.link = self.link.failed(error, now)

    def happened(self, some: Line) -> None:
        """An event, or something about the connection to the gateway."""
        self.events.append(some)

    def arrange(self, **fields: Any) -> None:
        """Show other rows, or in another order."""
        self.arrangement = evolve(self.arrangement, **fields)
        self._show(rows(self.figures, self.found, self.arrangement))

    def sort(self) -> None:
        """Sort by what comes next."""
        self.arrange(sort=self.arrangement.next_sort().sort)
        self.cursor = 0

    def fold(self) -> None:
        """Hide the instances of the mapping that is chosen, or show them again."""
        if (row := self.chosen) is not None and row.key[0]:
            self.arrange(folded=self.arrangement.fold(row.key[0]).folded)
            self._choose((row.key[0], "", ""))

    def _show(self, shown: list[Row]) -> None:
        chosen = self.chosen
        self.rows = shown
        self.cursor = max(0, min(self.cursor, len(shown) - 1))
        if chosen is not None and not self.is_at_top:
            self._choose(chosen.key)

    @property
    def is_at_top(self) -> bool:
        """Whether the first row is chosen, whichever that is."""
        return self.cursor == 0

    def _choose(self, key: Key) -> None:
        """Stay with what was chosen, wherever it is now."""
        for number, row in enumerate(self.rows):
            if row.key == key:
                self.cursor = number
                return

    @property
    def chosen(self) -> Row | None:
        """The row that keys are for."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def move(self, step: int) -> None:
        """Choose another row: so many further down, or up."""
        self.cursor = max(0, min(self.cursor + step, len(self.rows) - 1))

    def question(self, verb: str) -> Question | str:
        """What to ask before this order for the chosen row, or why it cannot be."""
        return question(
            verb, self.chosen, self.figures.status, has_token=self.has_token
        )

    def summary(self, now: float, width: int, height: int) -> list[Line]:
        """The lines above the table."""
        return summary(self.figures, self.found, self.link, now, width, height)

    def layout(self, width: int) -> Layout:
        """The columns of the table."""
        return layout(self.rows, width, has_http=speaks_http(self.figures))

    @property
    def gateway_now(self) -> float:
        """The time of the gateway's clock at its last answer."""
        return float(self.figures.status["gateway"]["now"])

    def happenings(self, width: int) -> list[Line]:
        """The events, for a terminal of this width."""
        return [
            part
            for each in self.events
            for text, tone in each.spans
            for part in paragraph(text, width, tone)
        ]

    def note(self, width: int) -> Line:
        """About the row that is chosen, and how the rows are arranged."""
        chosen = self.chosen
        if chosen is None:
            what = self.arrangement.filter
            return line((f"no row has {what!r}" if what else "no mappings", FAINT))
        about = f"{chosen.name.strip()}: {chosen.reason}" if chosen.reason else ""
        sort = f"by {self.arrangement.sort}"
        only = f", only {self.arrangement.filter!r}" if self.arrangement.filter else ""
        place = f"{self.cursor + 1} of {len(self.rows)} rows {sort}{only}"
        about = clipped(about, max(3, width - len(place) - 2))
        return line((place, FAINT), f"  {about}")

    def details(self, key: Key, now: float, width: int) -> list[Line]:
        """All about one row."""
        try:
            lines = details(self.figures, self.found, key, width)
        except _ODD:
            lines = [line("the gateway says nothing of it that can be shown")]
        return [*self.link.lines(now), *lines]
