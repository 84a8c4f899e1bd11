"""``lbconsul status``."""

import json
import time
from collections.abc import Callable

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.terminal import Terminal
from lbconsul.console.terminal import has_colours, is_dumb, is_terminal, width
from lbconsul.usage.words import Given

#: The refresh interval of --watch, in seconds.
INTERVAL = 2.0

NOT_READY = 1

_TOP_AND_CLEAR = "\x1b[H\x1b[J"


def status(
    admin: Admin,
    given: Given,
    sleep: Callable[[float], None] = time.sleep,  # noqa: TID251 (no reactor here)
) -> int:
    """Print the status of a gateway; returns the exit status.

    :raises CannotAsk: there is no status to be had.
    """
    shown = _show(admin, given)
    while "watch" in given:
        sleep(INTERVAL)
        if is_terminal():
            print("" if is_dumb() else _TOP_AND_CLEAR, end="\n" if is_dumb() else "")
        shown = _show(admin, given)
    return shown


def _show(admin: Admin, given: Given) -> int:
    document = admin.status()
    try:
        if "json" in given:
            text = json.dumps(document)
        else:
            columns = width() if is_terminal() else None
            text = "\n".join(Terminal(has_colours(), columns).lines(document))
        is_ready = bool(document["gateway"]["ready"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise CannotAsk(
            f"{admin.address}: the answer is not a status of lbconsul"
        ) from None
    print(text, flush=True)
    return 0 if is_ready else NOT_READY
