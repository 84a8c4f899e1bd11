"""``lbconsul why``."""

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.text import printable
from lbconsul.usage.words import Given

NOT_SERVED = 1


def why(admin: Admin, given: Given) -> int:
    """Print which route a request takes, and why; returns the exit status.

    :raises CannotAsk: the gateway does not answer that.
    """
    fields = given.options.get("header", [])
    answer = admin.why(given.rest[0], given.last("method", "GET"), fields)
    try:
        lines = [printable(each) for each in answer["text"].splitlines()]
        is_served = any(
            each["winner"] and not each["reason"] for each in answer["mappings"]
        )
    except (LookupError, TypeError, AttributeError):
        raise CannotAsk(f"{admin.address}: the answer is not lbconsul's") from None
    print("\n".join(lines), flush=True)
    return 0 if is_served else NOT_SERVED
