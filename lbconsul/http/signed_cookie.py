"""Cookies of the gateway's own: what they hold, how they are set and read.  Pure.

The value of one is a token: a message authentication code (HMAC, RFC 2104) of what it
stands for, with a key that the gateways alone have.  It says nothing to a client, and
no client can make one: a gateway knows the tokens of all that it may stand for, and
ignores every other value.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hmac import digest

from attrs import frozen

from lbconsul.config.cookies import CookieAttributes

#: Bytes of a code, which is cut off there (RFC 2104, 5), and characters of a token.
_BYTES, LENGTH = 16, 22

#: The most values of one name that a request may have; further ones are ignored.
_MOST = 8

_LINE = re.compile(rb"(?mi)^cookie:[ \t]*([^\r\n]*)\r\n")

#: The value of ``SameSite`` by that of the option.
_SAME_SITE = {"lax": b"Lax", "strict": b"Strict", "none": b"None"}


@frozen(repr=False)
class Tokens:
    """Makes the tokens for one purpose: those for another one never equal them.

    The first of `keys` makes new tokens; those of the others are still known, so that
    a key can be replaced.
    """

    _purpose: str
    _keys: Sequence[bytes]

    def token(self, *words: str) -> bytes:
        """The token of what these words name: `LENGTH` characters of base64url."""
        return _token(self._keys[0], (self._purpose, *words))

    def known(self, *words: str) -> list[bytes]:
        """All tokens of it that clients may have, the present one first."""
        return [_token(key, (self._purpose, *words)) for key in self._keys]


def _token(key: bytes, words: Sequence[str]) -> bytes:
    # With their lengths, no two lists of words are one text.
    parts = [each.encode("utf-8", "surrogatepass") for each in words]
    message = b"".join(b"%d:%b," % (len(each), each) for each in parts)
    return urlsafe_b64encode(digest(key, message, "sha256")[:_BYTES])[:LENGTH]


def cookie_values(lines: bytes, name: bytes) -> list[bytes]:
    """The values of the cookies of this name, in the order in which they came.

    `lines` are the field lines of a request.  Several are usual: a browser sends those
    of several paths, and of a site and its parent.
    """
    if name not in lines:
        return []
    begin, found = name + b"=", list[bytes]()
    for line in _LINE.findall(lines):
        for pair in line.split(b";"):
            pair = pair.strip(b" \t")
            if pair.startswith(begin) and len(found) < _MOST:
                found.append(pair[len(begin) :].strip(b'" \t'))
    return found


def without_cookie(lines: bytes, name: bytes) -> bytes:
    """The field lines of a request without the cookies of this name."""
    if name not in lines:
        return lines
    begin = name + b"="

    def rest(match: re.Match[bytes]) -> bytes:
        pairs = match[1].split(b";")
        kept = [each for each in pairs if not each.strip(b" \t").startswith(begin)]
        if len(kept) == len(pairs):
            return match[0]
        text = b";".join(kept).strip(b" \t")
        return b"Cookie: %b\r\n" % text if text else b""

    return _LINE.sub(rest, lines)


def set_cookie(
    name: bytes, value: bytes, attributes: CookieAttributes, *, is_https: bool
) -> bytes:
    """The line that sets a cookie, with its end.

    `is_https` says whether the client has come by ``https``, to the gateway or to a
    proxy in front that is trusted.
    """
    line = b"Set-Cookie: %b=%b; Path=%b" % (name, value, attributes.path.encode())
    if attributes.max_age:
        line += b"; Max-Age=%d" % attributes.max_age
    if attributes.secure == "on" or (attributes.secure == "auto" and is_https):
        line += b"; Secure"
    if attributes.http_only:
        line += b"; HttpOnly"
    return b"%b; SameSite=%b\r\n" % (line, _SAME_SITE[attributes.same_site])
