"""``lbconsul events``."""

import json
from datetime import datetime

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.event_messages import Message, event_line
from lbconsul.admin.follow import Follower, Notice
from lbconsul.admin.short_text import clean
from lbconsul.usage.words import Given


def events(admin: Admin, given: Given) -> int:
    """Print the events of a gateway, and of the next ones there, until interrupted.

    :raises CannotAsk: the gateway does not answer at first, or refuses.
    """
    for each in Follower(admin):
        try:
            line = _json(each) if "json" in given else _line(each)
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            raise CannotAsk(
                f"{admin.address}: the answer is no event of lbconsul"
            ) from None
        print(clean(line), flush=True)
    return 0


def _line(each: Message | Notice) -> str:
    """An event, or what happens to the stream, as one line.

    :raises ValueError: (or another error) it is neither.
    """
    if isinstance(each, Notice):
        return f"-- {datetime.now().isoformat(' ', 'seconds')}  {each.text}"
    if each.kind == "reset":
        return f"-- {json.loads(each.data)['reason']}"
    return event_line(json.loads(each.data))


def _json(each: Message | Notice) -> str:
    """The same as a JSON object, of which the gateway's own are as they came."""
    if isinstance(each, Notice):
        return json.dumps({"reason": each.text})
    json.loads(each.data)
    return each.data
