"""Parses a stream of server-sent events, as a client of it.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from attrs import frozen

#: The longest line, in bytes.
LONGEST = 1 << 20


@frozen
class Message:
    """One event; `kind` is empty for a change."""

    data: str
    kind: str = ""
    id: str = ""


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """The events of these lines, each with its end; comments are skipped.

    :raises ValueError: a line is longer than `LONGEST`, or no text.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if len(line) > LONGEST:
            raise ValueError(f"a line of the stream is longer than {LONGEST} bytes")
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "data" and name in fields:
            fields[name] += f"\n{value}"
        elif name:
            fields[name] = value
        elif line.strip() or "data" not in fields:
            continue  # a comment, or nothing
        else:
            yield Message(fields["data"], fields.get("event", ""), fields.get("id", ""))
            fields = {}


def event_line(event: Mapping[str, object]) -> str:
    """A change as one line: its time, what it is about, and its text.

    :raises ValueError: (or LookupError, TypeError, OverflowError, OSError) it is none.
    """
    seconds = event["time"]
    if not isinstance(seconds, int | float):
        raise TypeError
    when = datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
    about = event["query"] or event["mapping"]
    return f"{when}  {f'{about}: ' if about else ''}{event['text']}"
