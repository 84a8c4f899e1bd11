"""The path of a request, as it is matched and passed on.  Pure."""

from lbconsul.config.url_path import normalized
from lbconsul.http.errors import Refused

_PERCENT, _BACKSLASH = b"%\\"


def normalized_path(path: bytes) -> bytes:
    """The path in normal form: the same object if it has that already.

    Routes are matched with it, and it is what the instance gets: what is decided upon
    is what is sent.  `lbconsul.config.url_path` says what changes.  The path is one
    that `lbconsul.http.request` has read; ``*`` is none, and remains.

    :raises Refused: servers would disagree about it.
    """
    # To look for a number, or to `find`, costs a third of `b"..." in path`.
    if _PERCENT not in path and _BACKSLASH not in path and path.find(b"/.") < 0:
        return path
    try:
        found = normalized(path.decode("ascii")).encode("ascii")
    except ValueError as error:
        raise Refused(400, f"its path {error}") from None
    return path if found == path else found
