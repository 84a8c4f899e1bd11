"""``lbconsul events``."""

import json
from datetime import datetime

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.short_text import clean
from lbconsul.usage.words import Given


def events(admin: Admin, given: Given) -> int:
    """Print the events of a gateway as they happen, until interrupted.

    :raises CannotAsk: the gateway does not answer, or ends.
    """
    for message in admin.events():
        try:
            if message.kind == "reset":
                line = f"-- {json.loads(message.data)['reason']}"
            else:
                line = event_line(json.loads(message.data))
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            raise CannotAsk(
                f"{admin.address}: the answer is no event of lbconsul"
            ) from None
        print(clean(message.data if "json" in given else line), flush=True)
    return 0


def event_line(event: dict[str, object]) -> str:
    """An event as one line: its time, what it is about, and its text."""
    seconds = event["time"]
    if not isinstance(seconds, int | float):
        raise TypeError
    when = datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
    about = event["query"] or event["mapping"]
    return f"{when}  {f'{about}: ' if about else ''}{event['text']}"
