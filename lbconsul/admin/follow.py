"""Follows the events of a gateway beyond its end: by the next one at its address."""

import time
from collections.abc import Callable, Iterator

from attrs import Factory, define, frozen

from lbconsul.admin.client import Admin, CannotAsk, EventStream, Refused
from lbconsul.admin.event_log import read_event_id
from lbconsul.admin.event_messages import Message
from lbconsul.admin.short_text import span

#: Pauses before asking again, in seconds: a takeover is a matter of milliseconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


@frozen
class Notice:
    """Something about the stream itself, as a sentence."""

    text: str


@define
class Position:
    """The last event that came, and so what is missing before the next one."""

    #: Its id; empty before the first.
    last: str = ""

    def missed(self, message: Message) -> Iterator[str]:
        """What is not known of the time before this message, which is the last now."""
        known, now = read_event_id(self.last), read_event_id(message.id)
        if now is None:
            return
        self.last = message.id
        if known is None:
            return
        (start, last), (its_start, number) = known, now
        if start != its_start:
            yield (
                f"what the former gateway reported after its event {last} is not known"
            )
            last = 0
        if number > last + 1:
            yield f"{number - last - 1} earlier events are no longer kept"


@define(eq=False)
class Follower:
    """The events of a gateway, and what becomes of the connection to it.

    `clock` is monotonic; `sleep` waits so many seconds.
    """

    _admin: Admin
    _clock: Callable[[], float] = time.monotonic
    _sleep: Callable[[float], object] = time.sleep  # noqa: TID251 (no reactor here)
    _stream: EventStream | None = None
    _pause: float = FIRST_PAUSE
    _position: Position = Factory(Position)

    def __iter__(self) -> Iterator[Message | Notice]:
        """Each event, in order; of a second time, those after the first.

        :raises CannotAsk: the gateway does not answer at first, or refuses.
        """
        self._stream = self._admin.events(self._position.last)
        while True:
            try:
                for message in self._stream:
                    self._pause = FIRST_PAUSE
                    yield from map(Notice, self._position.missed(message))
                    yield message
            except CannotAsk as error:
                yield Notice(f"{error}; connecting again")
            lost = self._clock()
            self._stream = self._again()
            after = span(self._clock() - lost)
            yield Notice(f"{self._admin.address}: connected again after {after}")

    def stop(self) -> None:
        """End the present stream, also while another thread waits for an event."""
        if self._stream is not None:
            self._stream.stop()

    def _again(self) -> EventStream:
        """The stream of whichever gateway answers there next.

        :raises Refused: it answers with an error that does not pass by itself.
        """
        while True:
            self._sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                return self._admin.events(self._position.last)
            except Refused:
                raise
            except CannotAsk:
                continue
