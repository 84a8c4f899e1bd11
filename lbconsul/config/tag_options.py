"""The options of a mapping whose routes are tags in Consul."""

import re

from lbconsul.config import values
from lbconsul.config.option import Option
from lbconsul.config.tag_routing import MATCHERS

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")

#: The most ports that tags may open: each costs a descriptor in each process.
MOST_PORTS = 4096


def ports(text: str) -> tuple[int, ...]:
    """The first and the last of a range of ports; empty for ``off``."""
    if text == "off":
        return ()
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last <= 65535 or last - first >= MOST_PORTS:
        raise ValueError(
            f"must be a port or a range of at most {MOST_PORTS}, as 3000-3999; or off"
        )
    return first, last


def prefix(text: str) -> str:
    """What a tag begins with."""
    if not text or not text.isprintable() or len(text) > 64 or text != text.strip():
        raise ValueError("must be 1 to 64 printable characters, such as urlprefix-")
    return text


def key(text: str) -> str:
    """A key in Consul's store, without the slash that it may begin with."""
    if text == "off":
        return ""
    found = text.strip("/")
    if not found or not found.isprintable() or len(found) > 255:
        raise ValueError("must be a key in Consul, such as fabio/config; or off")
    return found


TAG_OPTIONS = (
    Option(
        "tag-prefix",
        prefix,
        "of a mapping of @tags: what the tags of services begin with that are routes"
        " [urlprefix-]",
        field="tags.prefix",
    ),
    Option(
        "tag-matcher",
        values.one_of(MATCHERS),
        "of a mapping of @tags: what the path of a tag is to that of a request: its"
        " beginning (prefix), the same whatever the case (iprefix), or a pattern of all"
        " of it (glob) [prefix]",
        field="tags.matcher",
    ),
    Option(
        "tcp-listeners",
        ports,
        "of a mapping of @tags: the ports that tags with proto=tcp may open, as"
        " 3000-3999; or off [off]",
        field="tags.tcp_listeners",
    ),
    Option(
        "kv-overrides",
        key,
        "of a mapping of @tags: the key in Consul at and below which commands alter the"
        " routes, such as fabio/config; or off [off]",
        field="tags.overrides",
    ),
    Option(
        "route-hold",
        values.duration_or_off,
        "of a mapping of @tags: how long a route is known, and answered with 503, after"
        " its last instance was deregistered [5m]",
        field="tags.hold",
    ),
)
