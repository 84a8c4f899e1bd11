"""The options of a mapping that limit requests, or connections, at times of need."""

from lbconsul.config import values
from lbconsul.config.option import Option, list_option
from lbconsul.config.rate_limit import rate_limit

LIMIT_OPTIONS = (
    list_option(
        "rate-limit",
        rate_limit,
        "how many requests, or connections without mode=http, one client may make:"
        " 100/s, 10/m or 50/10s, with ;burst=200 for how many at once, ;by=ip,"
        " ;by=header:NAME or ;by=route, ;ipv6-prefix=64, and ;dry-run; may be given"
        " more than once",
        "limits.rates",
    ),
    Option(
        "max-requests",
        values.whole(0, 10_000_000),
        "answer 503 to requests beyond this many at a time; 0: no limit [0]",
        field="limits.requests",
    ),
    Option(
        "shed-lag",
        values.duration_or_off,
        "turn away a part of new requests, or connections, while this process answers"
        " events later than this, such as 200ms [off]",
        field="limits.shed_lag",
    ),
)
