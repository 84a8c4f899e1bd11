"""What heads of requests and of responses have in common: limits and lines.  Pure."""

from attrs import frozen

from lbconsul.http.errors import Refused
from lbconsul.text import fit

#: Lengths of a body that no number tells: the last chunk ends it, or the connection.
CHUNKED, UNTIL_CLOSE = -1, -2

#: The longest name of a field that is shown, in characters.
_SHOWN = 40


@frozen
class Limits:
    """How large a head may be; more is refused with 431, or 414 for its target."""

    #: Bytes of the whole head.
    head: int = 32768
    #: Field lines.
    fields: int = 100
    #: Bytes of a request's target.
    target: int = 8192


def field_lines(
    data: bytes, pos: int, begin: int, limits: Limits
) -> tuple[bytes, list[bytes]] | None:
    """The fields of the head at `pos`: all with the empty line, and the lines.

    They begin at `begin`.  None if they are not complete.

    :raises Refused: they are too large, or have a line without CR before LF.
    """
    end = data.find(b"\r\n\r\n", begin - 2)
    if end < 0:
        if len(data) - pos >= limits.head:
            raise _too_large(data[begin:])
        check_ends(data, begin)
        return None
    if end + 4 - pos > limits.head:
        raise _too_large(data[begin:end])
    lines = data[begin:end].split(b"\r\n") if end > begin else []
    if len(lines) > limits.fields:
        raise Refused(431, f"it has {len(lines)} fields, more than {limits.fields}")
    return data[begin : end + 4], lines


def check_ends(data: bytes, begin: int) -> None:
    """Refuse at once a line that ends with LF alone, not with the bytes that follow."""
    if data.count(b"\n", begin) != data.count(b"\r\n", begin):
        raise Refused(400, "it has a line that does not end with CR LF")


def _too_large(data: bytes) -> Refused:
    """The refusal of a head that is too large: it names the largest field."""
    longest = max(data.split(b"\r\n"), key=len)
    name = longest.partition(b":")[0].decode("latin-1")
    return Refused(
        431,
        f"its fields are too large: {fit(name, _SHOWN)} has {len(longest)} bytes"
        f" of {len(data)}",
    )
