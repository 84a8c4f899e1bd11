"""Asks the gateway again and again, in threads, for what shows it."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from attrs import Factory, define, field

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.event_messages import event_line
from lbconsul.admin.follow import Follower, Notice
from lbconsul.top.lines import FAINT, WARN, Line, line

#: The interval between two questions, in seconds; and the share of the gateway's time,
#: at most, that answers take: a large status is asked for less often, and one that is
#: late not for ever.
INTERVAL, _SHARE, _LONGEST = 1.0, 0.05, 15.0

#: The pause after the events were refused, in seconds.
AFTER_REFUSAL = 5.0

#: An event is shown in the figures soon, as more of them may follow.
_SOON = 0.1

#: Kinds of events that an operator looks for.
_BAD = frozenset({"ejected", "failing", "empty", "suspect"})


def rest(took: float) -> float:
    """How long not to ask after an answer that took so long, whatever happens."""
    return min(max(_SOON, took / _SHARE - took), _LONGEST)


class Shown(Protocol):
    """What the threads call.  It may block them; False ends them."""

    def answered(self, status: dict[str, Any]) -> bool:
        """The gateway's next answer."""

    def failed(self, error: str) -> bool:
        """The gateway does not answer, for this reason."""

    def happened(self, some: Line) -> bool:
        """An event, or something about the connection."""


class _Over(Exception):
    """There is nothing more to ask for."""


@define(eq=False)
class Feed:
    """The answers and the events of a gateway."""

    _admin: Admin
    _shown: Shown
    #: A monotonic clock, in seconds.
    _clock: Callable[[], float] = time.monotonic
    _wanted: threading.Event = Factory(threading.Event)
    _is_over: threading.Event = Factory(threading.Event)
    _follower: Follower = field(
        default=Factory(
            lambda self: Follower(self._admin, sleep=self._sleep), takes_self=True
        )
    )
    _threads: list[threading.Thread] = Factory(list)

    def start(self) -> None:
        """Begin to ask."""
        for run in (self._ask, self._follow):
            # One that waits for a gateway keeps no program from ending.
            thread = threading.Thread(target=run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End; the threads do so soon."""
        self._is_over.set()
        self._wanted.set()
        self._follower.stop()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            began = self._clock()
            if not self._ask_once():
                return
            took = self._clock() - began
            if not self._is_over.wait(rest(took)):
                self._wanted.wait(max(0.0, INTERVAL - took))
            self._wanted.clear()

    def _ask_once(self) -> bool:
        """Whether to go on."""
        try:
            status = self._admin.status()
        except CannotAsk as error:
            return self._shown.failed(self._without_address(error))
        return self._shown.answered(status)

    def _without_address(self, error: CannotAsk) -> str:
        """The error where the address is shown anyway."""
        address = self._admin.address
        text = str(error).removeprefix(f"no answer at {address}: ")
        return text.removeprefix(f"{address}: ")

    def _follow(self) -> None:
        while not self._is_over.is_set():
            try:
                for each in self._follower:
                    if self._is_over.is_set() or not self._tell(each):
                        return
            except _Over:
                return
            except CannotAsk as error:
                # Refused: another token may be right by and by.
                if not self._shown.happened(line((str(error), WARN))):
                    return
            self._is_over.wait(AFTER_REFUSAL)

    def _sleep(self, seconds: float) -> None:
        if self._is_over.wait(seconds):
            raise _Over

    def _tell(self, each: Any) -> bool:
        if isinstance(each, Notice):
            return self._shown.happened(line((f"-- {each.text}", WARN)))
        self._wanted.set()
        try:
            said = json.loads(each.data)
            if each.kind == "reset":
                return self._shown.happened(line((f"-- {said['reason']}", WARN)))
            return self._shown.happened(_event(said))
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            text = "-- an event that is none of lbconsul"
            return self._shown.happened(line((text, FAINT)))


def _event(said: dict[str, Any]) -> Line:
    return line((event_line(said), WARN if said["kind"] in _BAD else ""))
