"""Which responses are compressed, for whom, and what their heads say then.  Pure.

A content coding is a part of the representation (RFC 9110, 8.4): what describes the
bytes of another one is changed or left out with it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Self

from attrs import frozen

from lbconsul.http.fields import name_of
from lbconsul.http.response import ResponseHead

#: The coding of a response that is not compressed.
IDENTITY = b""

_NO_CONTENT, _PARTIAL, _NOT_MODIFIED = 204, 206, 304

_ACCEPT = re.compile(rb"(?mi)^accept-encoding:[ \t]*([^\r\n]*)")
_TYPE = re.compile(rb"(?mi)^content-type:[ \t]*([^\r\n;]*)")
_ETAG = re.compile(rb'(?mi)^(etag:[ \t]*)(")')
_NO_TRANSFORM = re.compile(rb"(?mi)^cache-control:[^\r\n]*\bno-transform\b")
_VARY = re.compile(rb"(?mi)^vary:[^\r\n]*(?:\*|\baccept-encoding\b)")
_IF_NONE_MATCH = re.compile(rb"(?mi)^if-none-match:[ \t]*([^\r\n]*)")

#: What says that the content is not to be compressed: it is already, it is a part, or
#: fields follow that may be about its bytes.
_KEPT = re.compile(rb"(?mi)^(?:content-encoding|content-range|trailer):")

#: About the bytes that are not sent (RFC 9110, 14.3; RFC 9530).
_DROPPED = frozenset(
    b"accept-ranges content-digest content-length content-md5 digest"
    b" repr-digest".split()
)

_QUALITY = re.compile(
    rb";[ \t]*q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*"
)

#: So many bytes of Accept-Encoding are looked at; a browser sends some 30.
_LONGEST = 256
_MANY = 256

#: A stream of events is text for which a moment counts more than a byte.
_EVENTS = b"text/event-stream"

VARY = b"Vary: Accept-Encoding\r\n"


@lru_cache(_MANY)
def chosen(accept: bytes, offers: tuple[bytes, ...]) -> bytes:
    """Of the codings offered the one that Accept-Encoding prefers, or `IDENTITY`.

    Of equals the first is taken.  A client that names none gets none, though it would
    accept any (RFC 9110, 12.5.3): some do not know what to do with it.
    """
    qualities = _qualities(accept[:_LONGEST].lower())
    rest = qualities.get(b"*", 0.0)
    best, coding = qualities.get(b"identity", 0.0), IDENTITY
    for each in offers:
        quality = qualities.get(each, rest)
        if quality and (quality > best or (coding == IDENTITY and quality >= best)):
            best, coding = quality, each
    return coding


def _qualities(accept: bytes) -> dict[bytes, float]:
    found: dict[bytes, float] = {}
    for each in accept.split(b","):
        name, semicolon, parameters = each.strip(b" \t").partition(b";")
        match = _QUALITY.fullmatch(semicolon + parameters) if semicolon else None
        if semicolon and match is None:
            continue  # a quality that is not valid accepts nothing
        name = name.strip(b" \t")
        found[b"gzip" if name == b"x-gzip" else name] = float(match[1]) if match else 1
    return found


@frozen
class Compressing:
    """The rules of one mapping or route."""

    #: In the order in which they are preferred.
    codings: tuple[bytes, ...]
    _types: frozenset[bytes]
    #: Main types of which all are compressed, as ``text``.
    _mains: frozenset[bytes]
    _least: int

    @classmethod
    def of(cls, codings: Iterable[str], types: Iterable[str], least: int) -> Self:
        """The rules, from the values of the options."""
        names = [each.encode() for each in types]
        mains = (each[:-2] for each in names if each.endswith(b"/*"))
        offers = tuple(each.encode() for each in codings)
        return cls(offers, frozenset(names), frozenset(mains), least)

    def coding(self, request: bytes) -> bytes:
        """The coding for the client of a request with these field lines."""
        accept = b", ".join(_ACCEPT.findall(request))
        if not accept or _NO_TRANSFORM.search(request):
            return IDENTITY
        return chosen(accept, self.codings)

    def varies(self, head: ResponseHead, length: int) -> bool:
        """Whether a response might be compressed, for some client.

        `length` is that of its body, as far as it is known; else negative.
        """
        raw = head.fields.raw
        if head.status in (_NO_CONTENT, _PARTIAL, _NOT_MODIFIED):
            return head.status == _NOT_MODIFIED
        if 0 <= length < self._least or _KEPT.search(raw) or _NO_TRANSFORM.search(raw):
            return False
        found = _TYPE.findall(raw)
        if len(found) != 1:
            return False
        content_type = found[0].rstrip(b" \t").lower()
        if content_type in self._types:
            return True
        main = content_type.partition(b"/")[0]
        return main in self._mains and content_type != _EVENTS


def varied(lines: bytes, raw: bytes) -> bytes:
    """The lines of a response that depends on Accept-Encoding; `raw` as received."""
    return lines if _VARY.search(raw) else lines + VARY


def not_modified(lines: bytes, request: bytes) -> bytes:
    """The lines of a response 304, whose ETag is weak if the client's is.

    It updates what the client has only if the two are alike (RFC 9111, 4.3.4).
    """
    asked = b", ".join(_IF_NONE_MATCH.findall(request))
    match = re.search(rb'(?mi)^etag:[ \t]*("[^"\r\n]*")', lines)
    if match is None or b"W/" + match[1] not in asked:
        return lines
    return _ETAG.sub(rb"\1W/\2", lines)


def encoded(lines: bytes, coding: bytes) -> bytes:
    """The lines of a response whose content gets this coding.

    An ETag is weak from then on (RFC 9110, 8.8.1): the same one stands for the content
    with each coding.
    """
    kept = [each for each in lines.split(b"\r\n")[:-1] if name_of(each) not in _DROPPED]
    kept += [b"Content-Encoding: " + coding, b""]
    return _ETAG.sub(rb"\1W/\2", b"\r\n".join(kept))
