"""The options of a mapping for compression, and the parsers of their values.

As in `lbconsul.config.values`, each parser raises `ValueError` whose text says what
would be right.
"""

import re

from lbconsul.config import sizes, values
from lbconsul.config.option import Option

#: The content codings that there are (RFC 9110, 8.4.1; RFC 7932).
CODINGS = ("br", "gzip")

_TYPE = re.compile(r"[!#$&^_.+0-9a-z-]+/(?:\*|[!#$&^_.+0-9a-z-]+)")

#: The most types of one mapping.
_MOST = 100


def codings(text: str) -> tuple[str, ...]:
    """Some of `CODINGS` with ``|`` between them; none for ``off``."""
    if text == "off":
        return ()
    words = text.split("|")
    if len(set(words)) < len(words) or not set(words) <= set(CODINGS):
        raise ValueError("must be gzip, br, both as br|gzip, or off")
    return tuple(words)


def types(text: str) -> tuple[str, ...]:
    """Types of content with commas between them."""
    words = tuple(each.strip(" ").lower() for each in text.split(","))
    for each in words:
        if not _TYPE.fullmatch(each):
            raise ValueError(
                f"{each!r} must be a type such as application/json or text/*"
            )
    if len(words) > _MOST:
        raise ValueError(f"must have at most {_MOST} types")
    return words


COMPRESSION_OPTIONS = (
    Option(
        "compress",
        codings,
        "compress responses for clients that accept it: gzip, br, or both in the order"
        " in which they are preferred, as br|gzip; or off [off]",
        field="compression.codings",
    ),
    Option(
        "compress-types",
        types,
        "the types of content that are compressed: text/*,application/json; if not"
        " given, text, scripts, JSON, XML, SVG, fonts and WebAssembly",
        field="compression.types",
    ),
    Option(
        "compress-min-size",
        sizes.size(1, 1 << 30),
        "the smallest response that is compressed [1KiB]",
        field="compression.least",
    ),
    Option(
        "compress-level",
        values.whole(1, 9),
        "how much work it may be: 1, the fastest, to 9 [4]",
        field="compression.level",
    ),
)
