"""Which type of content a client prefers (RFC 9110, 12.5.1).  Pure."""

import re
from functools import lru_cache

#: So many bytes of Accept are looked at; a browser sends some 130.
_LONGEST = 512
#: So many different ones are remembered.
_MANY = 256

_LINES = re.compile(rb"(?mi)^accept:[ \t]*([^\r\n]*)")

#: A media range, and its parameters.
_RANGE = re.compile(rb"[ \t]*([^\s/;]+/[^\s/;]+)[ \t]*((?:;.*)?)", re.DOTALL)
_QUALITY = re.compile(rb";[ \t]*q=([^;]*)")
#: RFC 9110, 12.4.2.
_QUALITY_VALUE = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def accept_of(lines: bytes) -> bytes:
    """The value of Accept among field lines (``head.fields.raw``); empty if none is."""
    return b", ".join(_LINES.findall(lines))


def preferred(accept: bytes, offers: tuple[bytes, ...]) -> bytes:
    """The type that the value of Accept prefers of these, ``type/subtype`` each.

    Of equals the first is taken if the client names them; the last if it takes any, as
    curl does.  The last one too if it accepts none, which RFC 9110, 12.4.1 leaves open.
    """
    return _preferred(accept[:_LONGEST], offers)


@lru_cache(_MANY)
def _preferred(accept: bytes, offers: tuple[bytes, ...]) -> bytes:
    ranges = _ranges(accept.lower())
    best, chosen = (0.0, 0, 0), offers[-1]
    for place, offer in enumerate(offers):
        specific, quality = _quality(offer, ranges)
        rank = (quality, specific, -place if specific else place)
        if quality and rank > best:
            best, chosen = rank, offer
    return chosen


def _quality(offer: bytes, ranges: dict[bytes, float]) -> tuple[int, float]:
    """How specific the most specific range is that has this type; and its quality."""
    names = offer, offer.partition(b"/")[0] + b"/*", b"*/*"
    for specific, name in zip((2, 1, 0), names, strict=True):
        if name in ranges:
            return specific, ranges[name]
    return 0, 0.0


def _ranges(accept: bytes) -> dict[bytes, float]:
    """The qualities of media ranges; one whose quality is not valid is left out."""
    ranges: dict[bytes, float] = {}
    for each in accept.split(b","):
        match = _RANGE.fullmatch(each)
        if match is None:
            continue
        quality = _QUALITY.search(match[2])
        value = quality[1].strip(b" \t") if quality else b"1"
        if _QUALITY_VALUE.fullmatch(value):
            ranges[match[1]] = float(value)
    return ranges
