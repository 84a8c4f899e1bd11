"""Basic authentication (RFC 7617): what a client shows, and how it is asked.  Pure."""

import binascii
import re
from typing import NamedTuple

_LINES = re.compile(rb"(?mi)^authorization:[ \t]*([^\r\n]*)")

#: The scheme, and what is encoded (RFC 9110, 11.4).
_BASIC = re.compile(rb"(?i)basic +([A-Za-z0-9+/]+={0,2})[ \t]*")

#: Neither a name nor a password has them (RFC 7617, 2).
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Credentials(NamedTuple):
    """Who a client says that it is, and its password."""

    user: bytes
    password: bytes


def read_credentials(lines: bytes) -> Credentials | None:
    """Those among field lines (``head.fields.raw``); None if there are none.

    More than one Authorization is none: upstream, another one might be believed.
    """
    found = _LINES.findall(lines)
    match = _BASIC.fullmatch(found[0]) if len(found) == 1 else None
    if match is None:
        return None
    try:
        text = binascii.a2b_base64(match[1], strict_mode=True)
    except binascii.Error:
        return None
    user, colon, password = text.partition(b":")
    if not colon or _CONTROL.search(text):
        return None
    return Credentials(user, password)


def challenge(realm: str) -> bytes:
    """The line that asks a client for its name and password, with its end.

    `realm` is text in ASCII without quotes and backslashes.
    """
    return b'WWW-Authenticate: Basic realm="%b", charset="UTF-8"\r\n' % realm.encode()
