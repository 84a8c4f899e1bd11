"""``lbconsul top`` with Textual."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding

from lbconsul.admin.client import Admin
from lbconsul.top.feed import Feed
from lbconsul.top.main_screen import Main
from lbconsul.top.view import View

_CSS = """
#summary, #head, #note, #hints, #title { height: auto; width: 100%; }
#table { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
#filter { display: none; height: 1; border: none; padding: 0; }
#filter.shown { display: block; }
#scroll { height: 1fr; scrollbar-size-vertical: 1; }
#lines { height: auto; }
Confirm { align: center middle; }
#question {
    width: 70; max-width: 90%; height: auto; border: ascii $foreground; padding: 0 1;
}
"""


class Top(App[None]):
    """The program."""

    CSS = _CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [Binding("ctrl+c,ctrl+q", "quit", show=False, priority=True)]

    def __init__(
        self,
        admin: Admin,
        status: dict[str, Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show the gateway that answers with this status."""
        # The terminal's own colours, and none at all with NO_COLOR.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        has_token = bool(admin.token)
        self.view = View.of(admin.address, status, clock(), has_token=has_token)
        self._main = Main(self.view, admin, clock)
        self._feed = Feed(admin, self._main)

    def on_mount(self) -> None:
        """Called by Textual."""
        self.push_screen(self._main)
        self._feed.start()

    def on_unmount(self) -> None:
        """Called by Textual."""
        self._feed.stop()
