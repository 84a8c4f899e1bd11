"""Heads of requests (RFC 9112, 2 to 3), and what is to be done with them.  Pure."""

import re
from collections.abc import Iterable
from enum import Enum

from attrs import define

from lbconsul.http.errors import Refused
from lbconsul.http.fields import (
    CLOSE,
    FORWARDED,
    FORWARDED_PREFIX,
    KEEP_ALIVE,
    UPGRADE,
    FieldParser,
    Fields,
    drop,
    named,
    passed_on,
    with_other_cookie,
)
from lbconsul.http.head import CHUNKED, Limits, field_lines
from lbconsul.http.host import read_host
from lbconsul.http.readers import (
    TOKEN,
    read_authentication,
    read_coding,
    read_connection_of_request,
    read_expect,
    read_forwarded,
    read_host_line,
    read_length,
    read_referer,
    read_te,
    read_upgrade,
    read_user_agent,
)

_METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"

#: All printable characters but ``#``: browsers send some that RFC 3986 does not allow,
#: but a fragment is no part of a request.
_PATH = rb"[\x21\x22\x24-\x3e\x40-\x7e]*+"
_QUERY = rb"(?:\?[\x21\x22\x24-\x7e]*+)?+"
_VERSION = rb"HTTP/1\.([01])\r\n"

#: One empty line before a request is ignored (RFC 9112, 2.2).
_EMPTY = rb"(?:\r\n)?+"

#: The forms of a request line; each has method, target, path, and the minor version.
_ORIGIN_FORM = re.compile(
    rb"%b(%b) ((/%b)%b) %b" % (_EMPTY, _METHOD, _PATH, _QUERY, _VERSION)
)
_ASTERISK_FORM = re.compile(rb"%b(OPTIONS) ((\*)) %b" % (_EMPTY, _VERSION))
_ABSOLUTE_FORM = re.compile(
    rb"%b(%b) (?i:https?)://([^\x00-\x20/?#\x7f-\xff]*+)(((?:/%b)?+)%b) %b"
    % (_EMPTY, _METHOD, _PATH, _QUERY, _VERSION)
)

#: The beginning of any request line.
_BEGINNING = re.compile(
    rb"%b(?:\r|%b(?: [\x21-\x7e]*+){0,2}+\r?+)?+" % (_EMPTY, _METHOD)
)
_ANY_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")

_LONGEST_METHOD = 32

#: Bytes of a request line beside its target: method, version, blanks and the end.
_BESIDE_TARGET = 64

#: Registered methods (RFC 9110, 9 and RFC 5789).  Unknown ones are passed on, but not
#: ``head``: a server that takes it for HEAD ends its response where others do not.
_METHODS = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split())
_USUAL = _METHODS - {b"CONNECT"}

_READERS = {
    b"host": read_host_line,
    b"content-length": read_length,
    b"transfer-encoding": read_coding,
    b"connection": read_connection_of_request,
    b"upgrade": read_upgrade,
    b"expect": read_expect,
    b"te": read_te,
    b"authorization": read_authentication,
    b"keep-alive": drop,
    b"proxy-connection": drop,
    b"http2-settings": drop,
    # CGI makes HTTP_PROXY of it, which libraries take for the URL of a proxy.
    b"proxy": drop,
    b"referer": read_referer,
    b"user-agent": read_user_agent,
}


#: Options that say whether the connection lasts, and nothing else.
_LASTING = frozenset([CLOSE, KEEP_ALIVE])


def request_fields(private: Iterable[bytes] = ()) -> FieldParser:
    """A parser of the fields of requests, which all mappings can share.

    `private` are names in lower case that only trusted proxies may send, beside
    ``Forwarded``, ``X-Real-IP`` and all that begin with ``X-Forwarded-``.
    """
    forwarded = dict.fromkeys([*FORWARDED, FORWARDED_PREFIX, *private], read_forwarded)
    return FieldParser({**_READERS, **forwarded})


class Form(Enum):
    """How a target is written (RFC 9112, 3.2).  The authority form is CONNECT's."""

    ORIGIN = "origin"
    ASTERISK = "asterisk"
    ABSOLUTE = "absolute"


_ORIGIN, _ASTERISK, _ABSOLUTE = Form


@define(eq=False)
class RequestHead:
    """The head of a request; equal requests of a connection share one."""

    #: As received, with an empty line before it if there was one.
    raw: bytes
    method: bytes
    form: Form
    #: Path and query, or ``*``.
    target: bytes
    path: bytes
    #: The request line that is passed on, with its end: in origin form, of HTTP/1.1.
    line: bytes
    fields: Fields


class RequestParser:
    """Parses heads of requests."""

    __slots__ = ("_limits", "_max_head", "_max_target", "_parser")

    def __init__(self, parser: FieldParser, limits: Limits) -> None:
        self._parser = parser
        self._limits = limits
        self._max_head, self._max_target = limits.head, limits.target

    def parse(
        self, data: bytes, pos: int = 0, last: RequestHead | None = None
    ) -> RequestHead | None:
        """Parse the head at `pos`; None if more bytes are needed.

        What follows the head begins ``len(head.raw)`` bytes further.  With the
        connection's `last` head, what is equal to that is not parsed again.

        :raises Refused: it is malformed, ambiguous or too large.
        """
        if last is not None and data.startswith(last.raw, pos):
            return last
        line, form = _ORIGIN_FORM.match(data, pos), _ORIGIN
        if line is None:
            line, form = _ASTERISK_FORM.match(data, pos), _ASTERISK
            if line is None:
                return self._absolute(data, pos)
        method, target, path, digit = line.groups()
        if method not in _USUAL or len(target) > self._max_target:
            self._check(method, target)
        begin, minor = line.end(), 1 if digit == b"1" else 0
        fields = None if last is None else last.fields
        if fields is not None and not data.startswith(fields.raw, begin):
            fields = with_other_cookie(data, begin, fields)
            if fields is not None and begin - pos + len(fields.raw) > self._max_head:
                fields = None  # to be refused
        if fields is None or fields.minor != minor:
            fields = self._parse_fields(data, pos, begin, minor)
            if fields is None:
                return None
        sent = data[line.start(1) : begin] if minor else _request_line(method, target)
        raw = data[pos : begin + len(fields.raw)]
        return RequestHead(raw, method, form, target, path, sent, fields)

    def _absolute(self, data: bytes, pos: int) -> RequestHead | None:
        """The same for a target in absolute form, which only old clients send."""
        line = _ABSOLUTE_FORM.match(data, pos)
        if line is None:
            _check_beginning(data, pos, self._max_target + _BESIDE_TARGET)
            return None
        method, authority, target, path, digit = line.groups()
        self._check(method, target)
        host = read_host(authority)
        minor = 1 if digit == b"1" else 0
        fields = self._parse_fields(data, pos, line.end(), minor)
        if fields is None:
            return None
        given = fields.host
        if given is None or (given.name, given.port) != (host.name, host.port):
            raise Refused(400, "its target has another host than its Host")
        if not path:  # RFC 9112, 3.2.1 and 3.2.4
            path = b"*" if method == b"OPTIONS" and not target else b"/"
            target = path + target
        raw = data[pos : line.end() + len(fields.raw)]
        sent = _request_line(method, target)
        return RequestHead(raw, method, _ABSOLUTE, target, path, sent, fields)

    def _check(self, method: bytes, target: bytes) -> None:
        if len(target) > self._max_target:
            raise Refused(414, f"its target is longer than {self._max_target} bytes")
        if len(method) > _LONGEST_METHOD:
            raise Refused(414, "its method is too long")
        if method not in _METHODS:
            if method.upper() in _METHODS:
                raise Refused(400, "its method is a known one in other letters")
        elif method == b"CONNECT":
            raise Refused(501, "its method is CONNECT")

    def _parse_fields(
        self, data: bytes, pos: int, begin: int, minor: int
    ) -> Fields | None:
        end, limits = data.find(b"\r\n\r\n", begin - 2), self._limits
        lines = data[begin:end].split(b"\r\n") if end > begin else []
        if lines and end + 4 - pos <= limits.head and len(lines) <= limits.fields:
            # As `field_lines`, without the call.
            fields = Fields(data[begin : end + 4], minor)
        else:
            found = field_lines(data, pos, begin, limits)
            if found is None:
                return None
            fields, lines = Fields(found[0], minor), found[1]
        self._parser.parse(lines, fields)
        _demand(fields, lines)
        return fields


def _request_line(method: bytes, target: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\n" % (method, target)


def _demand(fields: Fields, lines: list[bytes]) -> None:
    """Note what the fields demand together.

    :raises Refused: they contradict each other, or the version.
    """
    options, minor = fields.options, fields.minor
    if not minor:
        fields.close = KEEP_ALIVE not in options
    elif fields.host is None:
        raise Refused(400, "it has no Host")
    if fields.is_chunked:
        _check_chunked(fields)
        fields.body = CHUNKED
    elif fields.length > 0:
        fields.body = fields.length
    if not fields.dropped:
        fields.lines = fields.raw[:-2]
        return
    if CLOSE in options:
        fields.close = True
    # HTTP/1.0 has no Upgrade (RFC 9110, 7.8), and the new protocol would begin behind
    # the body, whose end the upstream may not wait for.
    if UPGRADE not in options or fields.body or not minor:
        fields.upgrade = b""
    if (
        options <= _LASTING
        and len(fields.dropped) == 1
        and not (fields.rewritten or fields.upgrade or fields.wants_trailers)
    ):
        # The line of Connection that browsers send, or one that never passes.
        kept = lines.copy()
        kept.remove(fields.dropped[0])
        fields.lines = b"\r\n".join(kept) + b"\r\n" if kept else b""
        return
    names = named(fields)
    if b"expect" in names:
        fields.expects_continue = False
    own = _own(fields)
    if own:
        names |= {b"connection"}
    fields.lines = passed_on(fields, lines, names, own)


def _check_chunked(fields: Fields) -> None:
    if fields.length >= 0:
        raise Refused(400, "it has both Content-Length and Transfer-Encoding")
    if not fields.minor:
        raise Refused(400, "it has a Transfer-Encoding in HTTP/1.0")


def _own(fields: Fields) -> list[bytes]:
    """The lines of Connection, and of what it names, that this hop has itself."""
    if fields.upgrade:
        return [b"Connection: Upgrade", b"Upgrade: " + fields.upgrade]
    if fields.wants_trailers:
        return [b"Connection: TE", b"TE: trailers"]
    return []


def _check_beginning(data: bytes, pos: int, most: int) -> None:
    """Refuse what is no request line, nor the beginning of one.

    :raises Refused: always, if the line is complete.
    """
    begin = pos + 2 if data.startswith(b"\r\n", pos) else pos
    end = data.find(b"\n", begin) + 1
    if (end or len(data)) - begin > most:
        raise Refused(414, "its request line is too long")
    if end:
        raise _bad_line(data[begin:end])
    if not _BEGINNING.fullmatch(data, pos):
        raise Refused(400, "it does not begin with a request line")


def _bad_line(line: bytes) -> Refused:
    """Why this line is none of a request."""
    if not line.endswith(b"\r\n"):
        return Refused(400, "it has a line that does not end with CR LF")
    words = line[:-2].split(b" ")
    if len(words) != 3 or not TOKEN.fullmatch(words[0]):
        return Refused(400, "it does not begin with a request line")
    if not _ANY_VERSION.fullmatch(words[2]):
        return Refused(400, "its version is not valid")
    if words[2] not in _VERSIONS:
        return Refused(505, "its version is not HTTP/1.0 or HTTP/1.1")
    if words[0] == b"CONNECT":
        return Refused(501, "its method is CONNECT")
    return Refused(400, "its target is not valid")
