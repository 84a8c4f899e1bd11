"""What has changed: the last of it is kept for those who come later.  Pure."""

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field

from lbconsul.admin.status_model import Event
from lbconsul.text import clipped

#: So many events are kept, and no more than so many bytes of them, of which each has
#: a text of so many characters at most.
KEPT = 1000
KEPT_BYTES = 1 << 20
MOST_TEXT = 1000

#: What an event holds beside its texts, in bytes.
_OVERHEAD = 200

#: What the id of an event looks like: no more digits than time itself will bring.
_ID = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")


def read_event_id(text: str) -> tuple[int, int] | None:
    """The epoch and the number in the id of an event; None if it is none."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


@define(eq=False)
class EventLog:
    """Everything that changed since the start, by number; the oldest are forgotten.

    `clock` tells the seconds since the epoch.
    """

    _clock: Callable[[], float]
    #: Numbers are of use only together with it: those of another start differ.
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
        """The number of the first event that is kept; of the next one if none is."""
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
        """Something happened just now: the `fields` of an `Event` by name."""
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
        for listener in self._listeners:
            listener()

    def get(self, number: int) -> Event:
        """An event that is kept.

        :raises IndexError: it is not.
        """
        if not self.oldest <= number <= self.newest:
            raise IndexError(f"event {number} is not kept")
        return self._ring[number - self.oldest]

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each event."""
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Do not, any more."""
        self._listeners.remove(listener)


def _size(event: Event) -> int:
    """In bytes; what is not ASCII takes up to four for each character."""
    texts = (
        *(event.text, event.reason, event.query, event.mapping, event.upstream),
        *event.instances,
    )
    return _OVERHEAD + sum(len(each) * (1 if each.isascii() else 4) for each in texts)
