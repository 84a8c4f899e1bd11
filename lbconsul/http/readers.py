"""Reads the fields that mean something to a proxy, each by its own rule.  Pure.

A reader gets a line and its value, and returns what notes it in a `Fields`.
"""

import re

from lbconsul.http.errors import Refused
from lbconsul.http.fields import KEEP_ALIVE, Fields, Meaning, name_of
from lbconsul.http.host import read_host
from lbconsul.http.log_text import FIELD, escaped

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: Digits of a Content-Length that every server can hold: below 2**63.
_LENGTH = re.compile(rb"[0-9]{1,18}")

_TIMEOUT = re.compile(rb"(?i)(?:^|[,;])[ \t]*timeout[ \t]*=[ \t]*\"?([0-9]{1,9})")

#: A scheme of authentication that is of the connection, among others.
_OF_CONNECTION = re.compile(rb"(?i)(?:^|,)[ \t]*(?:ntlm|negotiate)(?:[ \t,]|$)")

_KEEP_ALIVE_ALONE = frozenset([KEEP_ALIVE])

#: Fields without which a message means something else: Connection may not name them.
_INDISPENSABLE = frozenset([b"host", b"content-length", b"transfer-encoding"])


def read_forwarded(line: bytes, value: bytes) -> Meaning:
    """A field that only trusted proxies may send."""
    named = (name_of(line), value)

    def note(fields: Fields) -> None:
        fields.dropped += (line,)
        fields.forwarded += (named,)

    return note


def read_host_line(line: bytes, value: bytes) -> Meaning:
    """Host: exactly one (RFC 9112, 3.2)."""
    host = read_host(value)

    def note(fields: Fields) -> None:
        if fields.host is not None:
            raise Refused(400, "it has more than one Host")
        fields.host = host

    return _plainly(note, line, value)


def read_length(line: bytes, value: bytes) -> Meaning:
    """Content-Length: one, in digits.

    RFC 9112, 6.3 leaves it open to accept a list of equal values; it is refused.
    """
    if not _LENGTH.fullmatch(value):
        raise Refused(400, "its Content-Length is not valid")
    length = int(value)

    def note(fields: Fields) -> None:
        if fields.length >= 0:
            raise Refused(400, "it has more than one Content-Length")
        fields.length = length

    return _plainly(note, line, b"%d" % length)


def read_coding(line: bytes, value: bytes) -> Meaning:
    """Transfer-Encoding: ``chunked`` and nothing else (RFC 9112, 6.1)."""
    codings = [each.strip(b" \t") for each in value.lower().split(b",")]
    if codings != [b"chunked"]:
        is_unknown = codings[-1] == b"chunked" and b"chunked" not in codings[:-1]
        if is_unknown and all(map(TOKEN.fullmatch, codings)):
            raise Refused(501, "it has a transfer coding other than chunked")
        raise Refused(400, "its Transfer-Encoding is not valid")

    def note(fields: Fields) -> None:
        if fields.is_chunked:
            raise Refused(400, "it has more than one Transfer-Encoding")
        fields.is_chunked = True

    return _plainly(note, line, b"chunked")


def _plainly(note: Meaning, line: bytes, value: bytes) -> Meaning:
    """A meaning that also has the line rewritten if it is valid, but unusual.

    Some servers do not understand other letters, zeros or tabs in it.
    """
    plain = line[: line.index(b":")] + b": " + value
    if line == plain:
        return note

    def note_and_rewrite(fields: Fields) -> None:
        note(fields)
        fields.dropped += (line,)
        fields.rewritten += (plain,)

    return note_and_rewrite


def read_connection(line: bytes, value: bytes) -> Meaning:
    """Connection: names options, and fields for this hop alone (RFC 9110, 7.6.1)."""
    options = _connection_options(value)

    def note(fields: Fields) -> None:
        fields.options |= options
        fields.dropped += (line,)

    return note


def read_connection_of_request(line: bytes, value: bytes) -> Meaning:
    """The same; the usual ``keep-alive`` stays, as this proxy may say it as well."""
    if _connection_options(value) != _KEEP_ALIVE_ALONE:
        return read_connection(line, value)

    def note(fields: Fields) -> None:
        fields.options |= _KEEP_ALIVE_ALONE

    return note


def _connection_options(value: bytes) -> frozenset[bytes]:
    words = [each.strip(b" \t") for each in value.lower().split(b",")]
    options = frozenset(filter(None, words))
    if not all(map(TOKEN.fullmatch, options)):
        raise Refused(400, "its Connection is not valid")
    if named := options & _INDISPENSABLE:
        raise Refused(400, f"its Connection names {min(named).decode()}")
    return options


def read_upgrade(line: bytes, value: bytes) -> Meaning:
    """Upgrade: the protocols that are offered or chosen (RFC 9110, 7.8).

    HTTP/2 in clear text is not among them: in its frames requests would pass unseen
    (RFC 9113, 3.1 has withdrawn it).
    """
    words = [each.strip(b" \t") for each in value.split(b",")]
    protocols = b", ".join(filter(None, words))
    is_h2c = b"h2c" in (each.lower() for each in words)

    def note(fields: Fields) -> None:
        fields.dropped += (line,)
        if fields.upgrade:
            raise Refused(400, "it has more than one Upgrade")
        if not is_h2c:
            fields.upgrade = protocols

    return note


def read_referer(line: bytes, value: bytes) -> Meaning:
    """Referer, for the log."""
    shown = escaped(value, FIELD) or "-"

    def note(fields: Fields) -> None:
        fields.referer = shown

    return note


def read_user_agent(line: bytes, value: bytes) -> Meaning:
    """User-Agent, for the log."""
    shown = escaped(value, FIELD) or "-"

    def note(fields: Fields) -> None:
        fields.user_agent = shown

    return note


def read_te(line: bytes, value: bytes) -> Meaning:
    """TE: what the peer accepts, of which a proxy can pass on trailers alone."""

    words = [each.strip(b" \t") for each in value.lower().split(b",")]

    def note(fields: Fields) -> None:
        fields.dropped += (line,)
        fields.wants_trailers |= b"trailers" in words

    return note


def read_authentication(line: bytes, value: bytes) -> Meaning:
    """Authorization and WWW-Authenticate: NTLM and Negotiate are of a connection.

    A server that has authenticated a connection takes all that follows for requests of
    the same user (RFC 4559, 6; MS-NTHT, 3).
    """
    return _binds if _OF_CONNECTION.search(value) else _means_nothing


def _binds(fields: Fields) -> None:
    fields.binds = True


def _means_nothing(fields: Fields) -> None:
    pass


def read_expect(line: bytes, value: bytes) -> Meaning:
    """Expect: ``100-continue`` is the only one (RFC 9110, 10.1.1)."""
    if value.lower() != b"100-continue":
        raise Refused(417, "it expects what is unknown")

    def note(fields: Fields) -> None:
        if fields.minor:
            fields.expects_continue = True
        else:  # HTTP/1.0 has none
            fields.dropped += (line,)

    return note


def read_keep_alive(line: bytes, value: bytes) -> Meaning:
    """Keep-Alive: how long an idle connection stays open (RFC 2068, 19.7.1.1)."""
    match = _TIMEOUT.search(value)
    timeout = int(match[1]) if match else None

    def note(fields: Fields) -> None:
        fields.dropped += (line,)
        fields.keep_alive = timeout

    return note
