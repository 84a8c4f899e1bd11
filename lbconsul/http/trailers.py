"""Fields behind a chunked body (RFC 9110, 6.5).  Pure."""

from lbconsul.http.errors import Refused
from lbconsul.http.fields import (
    FORWARDED,
    FORWARDED_PREFIX,
    KEY,
    SECRET,
    match_line,
)

#: They would change the message itself, or where it goes.
_REFUSED = frozenset([b"content-length", b"transfer-encoding", b"host"])

#: They must not stand in trailers (RFC 9110, 6.5.1), but are harmless until a recipient
#: takes them for fields of the head: fields for one hop, that say how the message is to
#: be treated, who the client is, or what the content is.
_DROPPED = SECRET.union(
    b"connection keep-alive proxy-connection te trailer upgrade http2-settings".split(),
    b"cache-control expect max-forwards pragma range if-match if-none-match".split(),
    b"if-modified-since if-unmodified-since if-range proxy".split(),
    b"proxy-authenticate www-authenticate authentication-info".split(),
    b"content-encoding content-type content-range".split(),
    FORWARDED,
)


def passed_trailers(lines: list[bytes]) -> bytes:
    """The trailers that are passed on, with the empty line behind them.

    :raises Refused: one is malformed, or says where the message ends or goes.
    """
    passed = []
    for line in lines:
        match = match_line(line)
        if match is None:
            raise Refused(400, "it has a trailer that is not valid")
        key = match[1].translate(KEY)
        if key in _REFUSED:
            raise Refused(400, f"it has a trailer {key.decode()}")
        if key not in _DROPPED and not key.startswith(FORWARDED_PREFIX):
            passed.append(line)
    return b"\r\n".join([*passed, b"", b""] if passed else [b"", b""])
