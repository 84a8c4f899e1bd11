"""What ``policy=hash`` goes by in HTTP mode: the keys of requests."""

import re
from collections.abc import Callable

from lbconsul.balance.hash_key import HashKey
from lbconsul.config.model import Mapping
from lbconsul.http.request import RequestHead
from lbconsul.http.signed_cookie import cookie_values
from lbconsul.proxy.hash_keys import hash_by, key_of_client

#: Finds the key of a request by its head, its path in normal form, and the address of
#: its client; None if it has none.
KeyFinder = Callable[[RequestHead, bytes, str], HashKey | None]


def key_finder(mapping: Mapping) -> KeyFinder | None:
    """Finds keys of requests; None if the mapping's policy considers none."""
    kind, _, name = hash_by(mapping).partition(":")
    if kind == "source":
        return lambda head, path, client: key_of_client(client)
    if kind == "uri":
        return lambda head, path, client: HashKey.of(path)
    if kind == "header":
        line = re.compile(rb"(?mi)^%b:[ \t]*([^\r\n]+)" % re.escape(name.encode()))
        return lambda head, path, client: _key_in(line.search(head.fields.raw))
    if kind == "cookie":
        return lambda head, path, client: _key_of_cookie(head, name.encode())
    return None


def _key_in(match: re.Match[bytes] | None) -> HashKey | None:
    text = b"" if match is None else match[1].strip(b" \t")
    return HashKey.of(text) if text else None


def _key_of_cookie(head: RequestHead, name: bytes) -> HashKey | None:
    values = cookie_values(head.fields.raw, name)
    return HashKey.of(values[0]) if values and values[0] else None
