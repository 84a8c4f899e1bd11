"""The event log: a bounded ring of the latest events.  Pure."""

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field

from lbconsul.admin.status_model import Event
from lbconsul.text import clipped

#: Limits of the ring, in events and in bytes, and of the text of one event, in
#: characters.
KEPT = 1000
KEPT_BYTES = 1 << 20
MOST_TEXT = 1000

#: The size of an event without its texts, in bytes.
_OVERHEAD = 200

#: The id of an event: epoch and number, bounded to 16 digits each.
_ID = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")


def read_event_id(text: str) -> tuple[int, int] | None:
    """The epoch and the number in an event's id; None if `text` is not an id."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


@define(eq=False)
class EventLog:
    """The latest events since the start, by number; the oldest are discarded.

    `clock` returns seconds since the UNIX epoch.
    """

    _clock: Callable[[], float]
    #: Identifies this start of the gateway: event numbers are unique only within it.
    epoch: int = field(init=False)
    #: The number of the last event, 0 if there is none.
    newest: int = 0
    _ring: deque[Event] = Factory(deque)
    _bytes: int = 0
    _listeners: list[Callable[[], None]] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.epoch = int(self._clock() * 1000)

    @property
    def oldest(self) -> int:
        """The number of the oldest event in the ring; if empty, of the next event."""
        return self.newest + 1 - len(self._ring)

    def add(
        self,
        kind: str,
        text: str,
        query: str = "",
        upstream: str = "",
        *,
        reason: str = "",
        **fields: Any,
    ) -> None:
        """Append an event with the present time; `fields` are an `Event`'s, by name."""
        self.newest += 1
        event = Event(
            id=self.newest,
            time=self._clock(),
            kind=kind,
            query=query,
            upstream=upstream,
            reason=clipped(reason, MOST_TEXT),
            **fields,
            text=clipped(text, MOST_TEXT),
        )
        self._ring.append(event)
        self._bytes += _size(event)
        while len(self._ring) > KEPT or self._bytes > KEPT_BYTES:
            self._bytes -= _size(self._ring.popleft())
        for listener in tuple(self._listeners):
            listener()

    def get(self, number: int) -> Event:
        """The event with this number.

        :raises IndexError: it is not in the ring.
        """
        if not self.oldest <= number <= self.newest:
            raise IndexError(f"event {number} is not kept")
        return self._ring[number - self.oldest]

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each event."""
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`; later calls do nothing."""
        if listener in self._listeners:
            self._listeners.remove(listener)


def _size(event: Event) -> int:
    """The size of an event in bytes; a text outside ASCII takes up to 4 a character."""
    texts = (
        *(event.text, event.reason, event.query, event.mapping, event.upstream),
        *event.instances,
    )
    return _OVERHEAD + sum(len(each) * (1 if each.isascii() else 4) for each in texts)
