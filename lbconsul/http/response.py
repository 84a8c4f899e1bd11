"""Heads of responses (RFC 9112, 4), and what is to be done with them.  Pure."""

import re

from attrs import define

from lbconsul.http.errors import Refused
from lbconsul.http.fields import (
    CLOSE,
    KEEP_ALIVE,
    UPGRADE,
    FieldParser,
    Fields,
    drop,
    name_of,
    named,
    passed_on,
)
from lbconsul.http.head import CHUNKED, UNTIL_CLOSE, Limits, field_lines
from lbconsul.http.readers import (
    read_authentication,
    read_coding,
    read_connection,
    read_keep_alive,
    read_length,
    read_upgrade,
)

#: Some servers leave out the reason with the blank before it.  Any three digits pass:
#: what a status of 600 and more means, only client and server know.
_STATUS_LINE = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})( [\t\x20-\x7e\x80-\xff]{0,1024}+)?+\r\n"
)

#: The beginning of any status line, as long as a reason may be.
_BEGINNING = re.compile(
    rb"(?:H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\.|HTTP/1\.[01](?: [1-9]?[0-9]{0,2}"
    rb"(?: [\t\x20-\x7e\x80-\xff]{0,1024})?)?\r?)?"
)

#: The field Date, however it is spelt.
_DATE = re.compile(rb"(?i)\ndate:")

#: Status codes.
SWITCHING_PROTOCOLS = 101
NOT_MODIFIED = 304
_NO_CONTENT, _UPGRADE_REQUIRED = 204, 426

_LENGTH = b"content-length"
_FRAMING = frozenset([_LENGTH, b"transfer-encoding"])

_READERS = {
    _LENGTH: read_length,
    b"transfer-encoding": read_coding,
    b"connection": read_connection,
    b"upgrade": read_upgrade,
    b"keep-alive": read_keep_alive,
    b"proxy-connection": drop,
    b"www-authenticate": read_authentication,
}


def response_fields() -> FieldParser:
    """A parser of the fields of responses, which all mappings can share."""
    return FieldParser(_READERS)


@define(eq=False)
class ResponseHead:
    """The head of a response; equal responses of a connection share one.

    ``fields.close`` is of the upstream's connection.
    """

    #: As received.
    raw: bytes
    #: A response below 200 is followed by another, but for SWITCHING_PROTOCOLS.
    status: int
    #: Whether it answers HEAD.
    is_of_head: bool
    #: The status line that is passed on, with its end: of HTTP/1.1.
    line: bytes
    fields: Fields
    #: What is passed on if nothing is changed, up to the body.  Empty without a Date:
    #: then that of the moment is added (RFC 9110, 6.6.1).
    sent: bytes

    def dated(self, date: bytes) -> bytes:
        """What is passed on with this line of a Date, up to the body."""
        return b"%b%b%b\r\n" % (self.line, self.fields.lines, date)


def without_coding(lines: bytes) -> bytes:
    """The lines of a chunked response for a client that gets its data alone."""
    kept = [each for each in lines.split(b"\r\n") if not _is_coding(each)]
    return b"\r\n".join(kept)


def _is_coding(line: bytes) -> bool:
    return name_of(line) in (b"transfer-encoding", b"trailer")


class ResponseParser:
    """Parses heads of responses."""

    __slots__ = ("_limits", "_parser")

    def __init__(self, parser: FieldParser, limits: Limits) -> None:
        self._parser = parser
        self._limits = limits

    def parse(
        self, data: bytes, pos: int, is_of_head: bool, last: ResponseHead | None = None
    ) -> ResponseHead | None:
        """Parse the head at `pos`; None if more bytes are needed.

        What follows the head begins ``len(head.raw)`` bytes further.  With the
        connection's `last` head, an equal one is not parsed again.

        :raises Refused: it is malformed, ambiguous or too large; the status is 502.
        """
        if (
            last is not None
            and data.startswith(last.raw, pos)
            and last.is_of_head == is_of_head
        ):
            return last
        try:
            return self._parse(data, pos, is_of_head)
        except Refused as error:
            raise Refused(502, str(error)) from None

    def _parse(self, data: bytes, pos: int, is_of_head: bool) -> ResponseHead | None:
        line = _STATUS_LINE.match(data, pos)
        if line is None:
            if _BEGINNING.fullmatch(data, pos):
                return None
            raise Refused(502, "it does not begin with a status line")
        digit, code, reason = line.groups()
        begin, minor = line.end(), 1 if digit == b"1" else 0
        found = field_lines(data, pos, begin, self._limits)
        if found is None:
            return None
        raw, lines = found
        fields = Fields(raw, minor)
        self._parser.parse(lines, fields)
        status = int(code)
        _demand(fields, lines, status, is_of_head)
        sent = data[pos:begin]
        if not minor or reason is None:
            sent = b"HTTP/1.1 %b%b\r\n" % (code, reason or b" ")
        head = data[pos : begin + len(raw)]
        whole = b"%b%b\r\n" % (sent, fields.lines)
        if b"\nDate:" not in whole and not _DATE.search(whole):
            whole = b""
        return ResponseHead(head, status, is_of_head, sent, fields, whole)


def _demand(fields: Fields, lines: list[bytes], status: int, is_of_head: bool) -> None:
    """Note what the fields demand together.

    :raises Refused: they contradict the version or the status.
    """
    options = fields.options
    if CLOSE in options or not (fields.minor or KEEP_ALIVE in options):
        fields.close = True
    names = _note_body(fields, status, is_of_head)
    own = _own(fields, status)
    if own or names or fields.dropped:
        names |= named(fields)
        fields.lines = passed_on(fields, lines, names, own)
    else:
        fields.lines = fields.raw[:-2]


def _note_body(fields: Fields, status: int, is_of_head: bool) -> frozenset[bytes]:
    """Note the body's length (RFC 9112, 6.3); return names that are not passed on."""
    if fields.is_chunked and not fields.minor:  # RFC 9112, 6.1
        raise Refused(502, "it has a Transfer-Encoding in HTTP/1.0")
    if status < 200 or status == _NO_CONTENT:
        # They may have neither (RFC 9110, 8.6; RFC 9112, 6.1).  One that announces a
        # body may be followed by it, which nothing else may take for a response.
        if fields.is_chunked or fields.length > 0:
            fields.close = True
        return _FRAMING if fields.is_chunked or fields.length >= 0 else frozenset()
    names: frozenset[bytes] = frozenset()
    if fields.is_chunked and fields.length >= 0:
        fields.close = True
        names = frozenset([_LENGTH])
    if is_of_head or status == NOT_MODIFIED:
        fields.body = 0
    elif fields.is_chunked:
        fields.body = CHUNKED
    elif fields.length >= 0:
        fields.body = fields.length
    else:
        fields.body = UNTIL_CLOSE
        fields.close = True
    return names


def _own(fields: Fields, status: int) -> list[bytes]:
    """The lines that tell of an upgrade, where the status has one (RFC 9110, 7.8)."""
    if status in (SWITCHING_PROTOCOLS, _UPGRADE_REQUIRED):
        if UPGRADE in fields.options and fields.upgrade:
            return [b"Connection: Upgrade", b"Upgrade: " + fields.upgrade]
        if status == SWITCHING_PROTOCOLS:
            raise Refused(502, "it switches to no protocol")
    fields.upgrade = b""
    return []
