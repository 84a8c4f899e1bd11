"""Where llhttp, Node's parser, and ours may read the same bytes differently, and why.

Everything else that they disagree about is a mistake of one of them.  llhttp leaves
most of what it accepts here to the server that uses it.
"""

import re
from collections.abc import Callable
from ipaddress import IPv6Address

from attrs import frozen

from lbconsul.http.head import CHUNKED
from lbconsul.http.response import ResponseHead
from tests.http.llhttp import their_reading
from tests.http.reading import Message, Reading, read


@frozen
class Disagreement:
    """A class of inputs that one of both refuses, and the other does not."""

    #: What the one says that refuses them, up to a colon.
    reason: str
    #: Why that is right, or does not matter.
    why: str
    #: Whether the bytes are of this class: those of the message that we refuse, or all
    #: that llhttp does.
    holds: Callable[[bytes], object]


def _begins(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(rb"(?:\r\n)?(?:%b)" % pattern).match


def _head_has(pattern: bytes) -> Callable[[bytes], object]:
    search = re.compile(pattern, re.IGNORECASE).search
    return lambda data: search(data.partition(b"\r\n\r\n")[0] + b"\r\n")


def _has(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern).search


def _has_field(name: bytes, but: bytes) -> Callable[[bytes], object]:
    """Whether a field line has a value that is none of these."""
    return _head_has(rb"\n%b:[ \t]*(?!(?:%b)[ \t]*\r\n)" % (name, but))


def _has_twice(name: bytes) -> Callable[[bytes], object]:
    return _head_has(rb"(?s)\n%b:.*\n%b:" % (name, name))


def _is_large(most: int) -> Callable[[bytes], object]:
    return lambda data: len(data) >= most


def _stuck_at(pattern: bytes) -> Callable[[bytes], object]:
    """Whether a plain reader of chunked bodies stops at a line like this."""
    match = re.compile(pattern).match
    return lambda data: match(_stopped(data.partition(b"\r\n\r\n")[2]))


#: RFC 9112, 7.1: a size, and extensions.
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*TOKEN(?:[ \t]*=[ \t]*(?:TOKEN|QUOTED))?)*\r\n"
    .replace(b"TOKEN", rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
    .replace(b"QUOTED", rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"')
)  # fmt: skip


def _stopped(body: bytes) -> bytes:
    """What is left of a chunked body behind its valid lines and the last chunk."""
    while (line := _SIZE_LINE.match(body)) is not None:
        size = int(line[1], 16)
        if not size:
            return body[line.end() :]
        rest = body[line.end() + size :]
        if not rest.startswith(b"\r\n"):
            return rest
        body = rest[2:]
    return body


_METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_KNOWN = rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH)"
_HOST = (
    rb"(?:(?:[a-z0-9_-]+\.)*[a-z0-9_-]+\.?|\[[0-9a-f:]*:[0-9a-f:.]+\])"
    rb"(?::(?:[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)

_has_unknown_method = _has(rb"(?!%b )%b [!-~]+ HTTP/1" % (_KNOWN, _METHOD))
_is_chunked_with_tab = _head_has(rb"\ntransfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r")

_TOO_MANY = re.compile(r"it has \d+ fields, more than [15]00")

#: What we refuse and llhttp leaves to its users.
STRICTER = (
    Disagreement(
        "it does not begin with a request line",
        "RFC 9112, 3: three words with one blank between them",
        _begins(rb"(?!%b [!-~\x80-\xff]+ HTTP/[0-9]\.[0-9]\r\n)" % _METHOD),
    ),
    Disagreement(
        "it does not begin with a status line",
        "RFC 9112, 4: a version of HTTP/1, three digits from 100 on, printable text",
        re.compile(
            rb"(?!HTTP/1\.[01] [1-9][0-9]{2}(?: [\t -~\x80-\xff]{0,1024})?\r\n)"
        ).match,
    ),
    Disagreement(
        "it has a line that does not end with CR LF",
        "RFC 9112, 2.2: a server may take LF alone for the end, so another may not",
        _has(rb"(?<!\r)\n"),
    ),
    Disagreement(
        "its version is not valid",
        "RFC 9112, 2.3: RTSP and ICE, which llhttp speaks, are other protocols",
        _begins(rb"[^ ]+ [^ ]* (?!HTTP/[0-9]\.[0-9]\r\n)"),
    ),
    Disagreement(
        "its version is not HTTP/1.0 or HTTP/1.1",
        "RFC 9110, 2.5: another major version means another framing",
        _begins(rb"\S+ \S+ HTTP/(?!1\.[01]\r\n)"),
    ),
    Disagreement(
        "its method is CONNECT",
        "RFC 9110, 9.3.6: this is no forward proxy",
        _begins(rb"CONNECT "),
    ),
    Disagreement(
        "its method is a known one in other letters",
        "RFC 9110, 9.1: methods are case-sensitive; some servers do not know that",
        _begins(rb"(?!%b )(?i:%b) " % (_KNOWN, _KNOWN)),
    ),
    Disagreement(
        "its method is too long",
        "it has a bound",
        _begins(rb"[^ ]{33}"),
    ),
    Disagreement(
        "its target is not valid",
        "RFC 9112, 3.2: a form for each method, ASCII, no fragment",
        _begins(rb"(?!%b /[!\"$-~]* )(?!OPTIONS \* )\S+ \S" % _METHOD),
    ),
    Disagreement(
        "its target has another host than its Host",
        "RFC 9112, 3.2.2: servers choose either",
        _begins(rb"\S+ (?i:https?)://"),
    ),
    Disagreement(
        "its host is not valid",
        "RFC 9112, 3.2: of what RFC 3986 allows, names and addresses that can exist",
        lambda data: (
            _has_field(b"host", _HOST)(data)
            or _is_odd_authority(data)
            or _has_bad_ipv6(data)
        ),
    ),
    Disagreement(
        "its host has a port that is not valid",
        "RFC 9112, 3.2: 65535 is the last",
        lambda data: _has_field(b"host", _HOST)(data) or _is_odd_authority(data),
    ),
    Disagreement(
        "it has no Host",
        "RFC 9112, 3.2: HTTP/1.1 demands one",
        lambda data: not _head_has(rb"\nhost:")(data),
    ),
    Disagreement("it has more than one Host", "RFC 9112, 3.2", _has_twice(rb"host")),
    Disagreement(
        "it has more than one Upgrade",
        "RFC 9110, 7.8: an upstream may choose either",
        _has_twice(rb"upgrade"),
    ),
    Disagreement(
        "it expects what is unknown",
        "RFC 9110, 10.1.1",
        _has_field(rb"expect", rb"100-continue"),
    ),
    Disagreement(
        "its Connection is not valid",
        "RFC 9110, 7.6.1: a list of tokens",
        # Possessive, or a long word is tried in all its parts.
        _has_field(rb"connection", rb"(?:%b+|[ \t]*,)*+" % _METHOD),
    ),
    *(
        Disagreement(
            f"its Connection names {name}",
            "RFC 9110, 7.6.1: without it the message would mean something else",
            _head_has(rb"\nconnection:[^\n]*\b%b\b" % name.encode()),
        )
        for name in ("host", "content-length", "transfer-encoding")
    ),
    Disagreement(
        "its Content-Length is not valid",
        "RFC 9110, 8.6: digits that fit into 64 bits with a sign",
        _has_field(rb"content-length", rb"[0-9]{1,18}"),
    ),
    Disagreement(
        "its Transfer-Encoding is not valid",
        "RFC 9112, 7: chunked, exactly",
        _has_field(rb"transfer-encoding", rb"chunked"),
    ),
    Disagreement(
        "it has more than one Transfer-Encoding",
        "RFC 9112, 7.1: chunked is applied once",
        _has_twice(rb"transfer-encoding"),
    ),
    Disagreement(
        "it has a transfer coding other than chunked",
        "RFC 9112, 6.1: 501 for a coding that is not known",
        _has_field(rb"transfer-encoding", rb"chunked"),
    ),
    Disagreement(
        "it has a Transfer-Encoding in HTTP/1.0",
        "RFC 9112, 6.1: its framing is faulty",
        _head_has(rb"HTTP/1\.0(?s:.*)\ntransfer-encoding:"),
    ),
    Disagreement(
        "it has a chunk size that is not valid",
        "RFC 9112, 7.1: 15 digits, which fit into 64 bits; names in extensions",
        _stuck_at(rb"(?!%b)" % _SIZE_LINE.pattern),
    ),
    Disagreement(
        "it has a chunk size that is too long",
        "RFC 9112, 7.1.1: a limit for extensions",
        _has(rb"[^\n]{1023}"),
    ),
    *(
        Disagreement(
            f"it has a trailer {name}",
            "RFC 9110, 6.5.1: a recipient may take it for a field of the head",
            _has(rb"(?i)\n%b:" % name.replace("-", "[^a-z0-9:\r\n]").encode()),
        )
        for name in ("host", "content-length", "transfer-encoding")
    ),
    Disagreement("its fields are too large", "they have a bound", _is_large(32768)),
    Disagreement(
        "it has too many fields",
        "they have a bound",
        _has(rb"(?:[^\n]*\n){102}"),
    ),
    Disagreement("its trailers are too long", "they have a bound", _is_large(8192)),
    Disagreement(
        "its target is longer than 8192 bytes",
        "it has a bound",
        _begins(rb"\S+ \S{8193}"),
    ),
    Disagreement("its request line is too long", "it has a bound", _is_large(8256)),
    Disagreement(
        "it switches to no protocol",
        "RFC 9110, 15.2.2: 101 has an Upgrade",
        _begins(rb"HTTP/1\.[01] 101"),
    ),
    Disagreement(
        "it was not asked for",
        "RFC 9112, 9.2: one response for each request",
        lambda data: True,
    ),
)

#: What llhttp refuses though we accept it.
LOOSER = (
    Disagreement(
        "Invalid method encountered",
        "RFC 9110, 9.1: a proxy passes on methods that it does not know",
        _has_unknown_method,
    ),
    Disagreement(
        "Expected space after method",
        "the same: it begins like one that llhttp knows",
        _has_unknown_method,
    ),
    Disagreement(
        "Expected SOURCE method for ICE/x.x request",
        "the same",
        _has(rb" HTTP/1"),
    ),
    Disagreement(
        "Invalid character in chunk size",
        "RFC 9112, 7.1.1: blanks before the semicolon are bad, but valid",
        _has(rb"[0-9a-fA-F][ \t]+;"),
    ),
    *(
        Disagreement(
            f"Invalid character in chunk extensions{of}",
            "RFC 9112, 7.1.1: blanks beside semicolon and equals sign are valid",
            _has(rb";[ \t]|[ \t=][ \t]*[=;]|=[ \t]"),
        )
        for of in ("", " name", " value")
    ),
    Disagreement(
        "Request has invalid `Transfer-Encoding`",
        "RFC 9110, 5.5: a tab behind a value is no part of it; it is not passed on",
        _is_chunked_with_tab,
    ),
    Disagreement(
        "Data after `Connection: close`",
        "a proxy ends that connection, and reads no further",
        _has(rb"(?i)connection:[^\n]*close|HTTP/1\.0"),
    ),
    *(
        Disagreement(
            reason,
            "RFC 9112, 6.3: of a response, Content-Length is dropped",
            _has(rb"HTTP/1\.1 [0-9]"),
        )
        for reason in (
            "Transfer-Encoding can't be present with Content-Length",
            "Content-Length can't be present with Transfer-Encoding",
        )
    ),
)

#: Responses whose ends we see at different places, so that there is nothing to compare.
ENDS_ELSEWHERE = (
    Disagreement(
        "a tab behind chunked in a response",
        "RFC 9110, 5.5: it is no part of the coding; to llhttp, it is another coding,"
        " and all that follows the body",
        _is_chunked_with_tab,
    ),
    Disagreement(
        "a length in an interim response",
        "RFC 9112, 6.3: it has no body, and we do not pass the length on",
        _has(rb"(?is)HTTP/1\.[01] 1(?!01).*\n(?:content-length|transfer-encoding):"),
    ),
)


def _is_odd_authority(data: bytes) -> object:
    pattern = rb"(?i)(?:\r\n)?\S+ https?://(?!%b(?:[/? ]))" % _HOST
    return re.match(pattern, data)


def _has_bad_ipv6(data: bytes) -> bool:
    """Whether an address in brackets is none: llhttp does not look into them."""
    found = re.findall(rb"(?i)(?:\nhost:[ \t]*|https?://)\[([0-9a-f:.]+)\]", data)
    return not all(map(_is_ipv6, found))


def _is_ipv6(text: bytes) -> bool:
    try:
        IPv6Address(text.decode())
    except ValueError:
        return False
    return True


def _explains(
    rules: tuple[Disagreement, ...], reason: str, data: bytes
) -> Disagreement | None:
    return next(
        (each for each in rules if each.reason == reason and each.holds(data)), None
    )


def content(message: Message) -> tuple[bytes, bytes, bytes]:
    """What llhttp tells of a message: method or status, target, body."""
    head = message.head
    body = message.data if head.fields.body == CHUNKED else message.body
    if isinstance(head, ResponseHead):
        return b"%d" % head.status, b"", bytes(body)
    return head.method, head.raw.split(b" ")[1], bytes(body)


def compare(raw: bytes, *, is_request: bool = True) -> str:
    """Fail if ours and llhttp read this differently, and no rule says why.

    Returns the reason of the rule, if it needs one.
    """
    ours = read([raw], is_request=is_request)
    theirs = their_reading(raw, is_request=is_request)
    if not is_request:
        for each in ENDS_ELSEWHERE:
            if each.holds(raw):
                return each.reason
    if ours.refused is not None and theirs.refused:
        return ""
    if theirs.is_upgraded and len(ours.messages) >= len(theirs.messages):
        _same(ours, raw, is_request=is_request)
        return ""
    if ours.refused is not None:
        reason = _TOO_MANY.sub("it has too many fields", str(ours.refused))
        reason = reason.partition(":")[0]
        assert _explains(STRICTER, reason, ours.begun), f"only we refuse: {reason}"
        return reason
    if theirs.refused:
        if _explains(LOOSER, theirs.refused, raw):
            return theirs.refused
        # We look at the fields when all are there.
        assert ours.verdict == 0, f"only llhttp refuses: {theirs.refused}"
        more = read([raw, b"\r\n\r\n"], is_request=is_request)
        assert more.refused is not None, f"only llhttp refuses: {theirs.refused}"
        return ""
    _same(ours, raw, is_request=is_request)
    return ""


def _same(ours: Reading, raw: bytes, *, is_request: bool) -> None:
    """Fail unless both have read the same messages."""
    theirs = their_reading(raw, is_request=is_request)
    expected = [(each.what, each.target, each.body) for each in theirs.messages]
    found = [content(each) for each in ours.messages]
    if theirs.is_upgraded:
        # What follows the head is not HTTP to llhttp, a body included; so we pass on no
        # Upgrade with a body.
        found = found[: len(expected)]
        found[-1] = (*found[-1][:2], b"")
    elif ours.rest in (b"\r", b"\r\n", b"\r\n\r"):
        # A request may come behind an empty line.
        assert theirs.verdict == (None if theirs.messages else 0)
    else:
        assert ours.verdict == theirs.verdict
    if theirs.messages and not theirs.messages[-1].what:  # its head is not complete
        del expected[-1]
    assert found == expected


def check_passed_on(raw: bytes) -> None:
    """Fail unless what is passed on of requests is to llhttp what came.

    Each is one request, with the same method, target and body, and nothing behind it.
    """
    for message in read([raw]).messages:
        if not message.is_over:
            continue
        head = message.head
        sent = message.sent
        theirs = their_reading(sent)
        if _explains(LOOSER[:3], theirs.refused, sent):
            continue
        assert not theirs.refused, f"what is passed on: {theirs.refused}"
        assert [each.is_over for each in theirs.messages] == [True]
        [found] = theirs.messages
        method, _, body = content(message)
        assert (found.what, found.body) == (method, body)
        assert found.target == head.line.split(b" ")[1]
