"""Paths as routes match them: decoded once.  Pure.

What `lbconsul.config.url_path` leaves encoded is decoded here, but for a slash and a
percent sign, which would make other paths of it.
"""

import re
from urllib.parse import quote

from lbconsul.config.url_path import normalized

_ESCAPE = re.compile(rb"%(?!25|2F)([0-9A-F]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: What stands in a path as it is (see `lbconsul.config.url_path`), and the percent
#: sign of escapes.
_SAFE = "/%!$&'()*+,;=:@~\"<>[]^_`{|}\\.-"


def matched(path: bytes) -> bytes:
    """A path in normal form (`lbconsul.http.path.normalized_path`), decoded once."""
    if b"%" not in path:
        return path
    return _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), path)


def encoded_path(text: str) -> str:
    """The path of a tag in normal form.

    :raises ValueError: no request can have it; the text says why.
    """
    return normalized(quote(_BAD_ESCAPE.sub("%25", text), safe=_SAFE, errors="replace"))


def read_path(text: str) -> str:
    """The path of a tag, in the form in which it is matched.

    :raises ValueError: no request can have it; the text says why.
    """
    return matched(encoded_path(text).encode("ascii")).decode("utf-8", "replace")
