"""Header fields that the operator wants in the access log."""

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.log_fields import LogFields

HEAD = (
    b"GET / HTTP/1.1\r\nHost: a\r\nX-TENANT:\tacme \r\nX-Tenant-Id: 7\r\n"
    b"x-forwarded-for: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Empty:\r\n\r\n"
    b"x-absent: in the body"
)


def test_nothing_is_wanted() -> None:
    """Without the option there is nothing to look for."""
    assert LogFields.of(()) is None


def test_values() -> None:
    """A field that is there is told, whatever the case of its name."""
    of_request = ("x-tenant", "x-forwarded-for", "x-empty", "x-absent")
    of_response = ("x-cache", "x-tenant")
    fields = LogFields.of(
        [f"request:{name}" for name in of_request]
        + [f"response:{name}" for name in of_response]
    )
    assert fields is not None and fields.needs_response
    assert fields.texts(HEAD, b"X-Cache: hit\r\n\r\n") == {
        "request:x-tenant": "acme",
        "request:x-forwarded-for": "192.0.2.1, 192.0.2.2",
        "response:x-cache": "hit",
    }
    assert fields.texts(b"", b"") == {}


def test_of_requests_alone() -> None:
    """Responses are looked at only where the option names a field of theirs."""
    fields = LogFields.of(("request:a.b",))
    assert fields is not None and not fields.needs_response
    assert fields.texts(b"x\r\naxb: 1\r\nA.b: 2\r\n", b"") == {"request:a.b": "2"}


@given(st.binary(max_size=2000))
def test_anything_is_fit_for_a_line(data: bytes) -> None:
    """Whatever a peer sends: printable ASCII, of a bounded length."""
    fields = LogFields.of(("request:a",))
    assert fields is not None
    for value in fields.texts(b"a:" + data, b"").values():
        assert value.isascii() and value.isprintable() and '"' not in value
        assert len(value) <= 4 * 303
