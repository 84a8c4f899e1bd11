"""The options of a mapping that bring a client to the same instance again."""

from lbconsul.config import affinity_values, values
from lbconsul.config.option import Option

#: Options for TCP as well as HTTP.
HASH_OPTIONS = (
    Option(
        "hash-by",
        affinity_values.hash_by,
        "what policy=hash, or a policy of your own, chooses an instance by: source, or"
        " with mode=http also uri, header:NAME or cookie:NAME; if not given, source for"
        " policy=hash",
        field="affinity.hash_by",
    ),
    Option(
        "hash-balance-factor",
        affinity_values.balance_factor,
        "with policy=hash, give no instance more than this many percent of its share of"
        " the open connections: 101 to 1000, or off [125]",
        field="affinity.hash_balance_factor",
    ),
)

#: Options for HTTP mode.
STICKY_OPTIONS = (
    Option(
        "sticky",
        affinity_values.sticky,
        "have a client's further requests go to the same instance, by a cookie that"
        " the gateway sets: cookie, or cookie:NAME; or off [off]",
        field="affinity.sticky",
    ),
    Option(
        "cookie-path",
        affinity_values.cookie_path,
        "below which path clients send the gateway's cookies [/]",
        field="cookies.path",
    ),
    Option(
        "cookie-max-age",
        values.duration_or_off,
        "how long clients keep the gateway's cookies; off: until the browser ends"
        " [off]",
        field="cookies.max_age",
    ),
    Option(
        "cookie-secure",
        values.one_of(affinity_values.SECURE),
        "whether clients send the gateway's cookies over TLS alone: on, off, or auto:"
        " if they came by https [auto]",
        field="cookies.secure",
    ),
    Option(
        "cookie-http-only",
        values.switch,
        "whether the gateway's cookies are hidden from scripts: on or off [on]",
        field="cookies.http_only",
    ),
    Option(
        "cookie-same-site",
        values.one_of(affinity_values.SAME_SITE),
        "which requests from other sites carry the gateway's cookies: lax, strict or"
        " none [lax]",
        field="cookies.same_site",
    ),
)
