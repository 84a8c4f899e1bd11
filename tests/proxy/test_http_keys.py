"""The keys of requests, by which they are balanced."""

import pytest

from lbconsul.config.build import configure
from lbconsul.http.head import Limits
from lbconsul.http.request import RequestParser, request_fields
from lbconsul.proxy.http_keys import key_finder

PARSER = RequestParser(request_fields(), Limits())


@pytest.mark.parametrize(
    ("by", "lines", "text"),
    [
        ("source", b"", b"32/3221225985"),
        ("uri", b"", b"/a"),
        ("header:X-Tenant", b"", None),
        ("header:X-Tenant", b"x-tenant:  one two \r\n", b"one two"),
        ("header:x-tenant", b"X-Tenant: 1\r\nX-Tenant: 2\r\n", b"1"),
        ("header:x-tenant", b"X-Tenant:  \r\n", None),
        ("header:x-tenant", b"Y-X-Tenant: 1\r\nX-Tenant2: 1\r\n", None),
        ("cookie:sid", b"", None),
        ("cookie:sid", b"Cookie: a=1; sid=abc\r\n", b"abc"),
        ("cookie:sid", b"Cookie: SID=abc; sid=\r\n", None),
    ],
)
def test_the_key_of_a_request(by: str, lines: bytes, text: bytes | None) -> None:
    """It is what `hash-by` names; a request without it has none."""
    [mapping] = configure([], [f"80:web,mode=http,policy=hash,hash-by={by}"]).mappings
    find = key_finder(mapping)
    assert find is not None
    head = PARSER.parse(b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines)
    assert head is not None
    key = find(head, head.path, "192.0.2.1")
    assert (None if key is None else key.text) == text


def test_other_policies_have_none() -> None:
    """What they choose by does not depend on the request."""
    [mapping] = configure([], ["80:web,mode=http"]).mappings
    assert key_finder(mapping) is None
