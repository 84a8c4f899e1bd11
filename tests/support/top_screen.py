"""``lbconsul top`` on a terminal of a test's, as words."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen
from textual.pilot import Pilot

from lbconsul.admin.client import Admin
from lbconsul.top.app import Top
from tests.support.waiting import PATIENCE


@frozen
class TopScreen:
    """What it shows, and its keys."""

    app: Top
    _pilot: Pilot[None]

    @property
    def lines(self) -> list[str]:
        """All lines, as wide as the terminal."""
        # There is no public way to the text of a screen.
        return [each.text for each in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """All lines; and once more as one, for what is broken to fit."""
        lines = "\n".join(each.rstrip() for each in self.lines)
        return f"{lines}\n{' '.join(lines.split())}"

    def line(self, words: str) -> str:
        """The first line that has these words; empty if none has."""
        return next((each for each in self.lines if words in each), "")

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self._pilot.press(*keys)

    async def write(self, words: str) -> None:
        """Press the keys of some words."""
        await self.press(*("space" if each == " " else each for each in words))

    async def until(self, *words: str, without: str = "") -> None:
        """Wait until all of these are on the screen, and this is not."""
        end = time.monotonic() + PATIENCE
        while not all(each in self.text for each in words) or (
            without and without in self.text
        ):
            assert time.monotonic() < end, f"no {words} on:\n{self.text}"
            await asyncio.sleep(0.02)

    async def click(self, words: str) -> None:
        """Click on the first line that has these words."""
        y = self.lines.index(self.line(words))
        await self._pilot.click(offset=(5, y))

    async def resize(self, columns: int, lines: int) -> None:
        """The terminal has another size now."""
        await self._pilot.resize_terminal(columns, lines)
        await self._pilot.pause()
        assert [len(each) for each in self.lines] == [columns] * lines

    async def choose(self, name: str) -> None:
        """Move the cursor to the row with this name."""
        names = [each.name.strip() for each in self.app.view.rows]
        step = names.index(name) - self.app.view.cursor
        await self.press(*(["j"] * step or ["k"] * -step))
        chosen = self.app.view.chosen
        assert chosen is not None
        assert chosen.name.strip() == name


@asynccontextmanager
async def top_screen(
    admin: Admin, columns: int, lines: int
) -> AsyncIterator[TopScreen]:
    """Run it on a terminal of this size."""
    app = Top(admin, admin.status())
    async with app.run_test(size=(columns, lines)) as pilot:
        screen = TopScreen(app, pilot)
        await screen.until("quit")
        yield screen
        assert [len(each) for each in screen.lines] == [columns] * lines
