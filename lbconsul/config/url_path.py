"""Paths of URLs, brought into the one form in which they are compared.  Pure.

RFC 3986 says which paths are the same (6.2.2): an escape of a letter, a digit or one of
``-._~`` means that character, the digits of others may be in either case, and dot
segments, escaped ones too, are resolved.  So does Envoy with ``normalize_path``; nginx
unescapes everything, ``%2F`` too, which makes one segment two.  Here ``%2F`` stays
what it is, and so does ``//``, which nginx takes for ``/``.

Refused is what servers understand differently: a backslash, which some take for a
slash; dots beside ``%2F`` or ``;``, which are a dot segment to those that unescape it,
or that cut off parameters, and to others a name; and dot segments that lead above the
root, as nginx refuses them.
"""

import re

#: What a request can have in its path (see `lbconsul.http.request`).
_PATH = re.compile(r'/[!"$->@-~]*')
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")

#: Each escape, and what it becomes.
_NORMAL = {
    f"%{high}{low}": char if _UNRESERVED.match(char) else f"%{high}{low}".upper()
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
    for char in (chr(int(high + low, 16)),)
}
_DOT_SEGMENT = re.compile(r"/\.\.?(?=/|\Z)")
_HALF_SEGMENT = re.compile(r"(?:/|%2F)\.\.?(?:;|%3B|%2F)|%2F\.\.?(?=/|\Z)")


def normalized(path: str) -> str:
    """The path in the form in which it is compared.

    :raises ValueError: it is no path, or servers would disagree about it; the text
        says why, and names nothing of it.
    """
    if not _PATH.fullmatch(path):
        raise ValueError("has characters that must be percent-encoded")
    if _BAD_ESCAPE.search(path):
        raise ValueError("has a % that begins no escape")
    path = _ESCAPE.sub(lambda escape: _NORMAL[escape[0]], path)
    if "\\" in path or "%5C" in path:
        raise ValueError("has a backslash")
    if "%00" in path:
        raise ValueError("has an encoded NUL")
    if _HALF_SEGMENT.search(path):
        raise ValueError("has dots that servers understand differently")
    return _resolved(path) if _DOT_SEGMENT.search(path) else path


def _resolved(path: str) -> str:
    """The path without dot segments (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if not kept:
                raise ValueError("leads above the root")
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
