"""Basic authentication: what clients show, and what asks them."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.basic_auth import challenge, read_credentials

ALICE = b64encode(b"alice:a:b")


def lines(*values: bytes) -> bytes:
    """The fields of a request with Authorization of these values."""
    shown = b"".join(b"Authorization: %b\r\n" % each for each in values)
    return b"Host: a\r\n%bX-Authorization: Basic Zm9vOmJhcg==\r\n\r\n" % shown


@pytest.mark.parametrize("scheme", [b"Basic ", b"bASIC  "])
def test_credentials(scheme: bytes) -> None:
    """A user and a password, in which a colon may be; schemes have no case."""
    assert read_credentials(lines(scheme + ALICE + b" ")) == (b"alice", b"a:b")
    assert read_credentials(b"authorization:" + scheme + ALICE + b"\r\n\r\n")


NONE = [
    (),
    (b"Basic",),
    (b"Basic *",),
    (b"Basic YQ",),
    (b"Basic " + b64encode(b"alice"),),
    (b"Basic " + b64encode(b"ali\0ce:x"),),
    (b"Bearer " + ALICE,),
    (b"Basic %b, Basic %b" % (ALICE, ALICE),),
    (b"Basic " + ALICE, b"Basic " + ALICE),
]


@pytest.mark.parametrize("values", NONE)
def test_no_credentials(values: tuple[bytes, ...]) -> None:
    """What is not exactly one valid Authorization is none."""
    assert read_credentials(lines(*values)) is None


@given(st.binary().filter(lambda each: all(32 <= one != 127 for one in each)))
def test_any_password(password: bytes) -> None:
    """A password may have any characters but controls."""
    encoded = b64encode(b"u:" + password)
    assert read_credentials(lines(b"Basic " + encoded)) == (b"u", password)


def test_challenge() -> None:
    """The client learns what for, and which alphabet to use."""
    asked = b'WWW-Authenticate: Basic realm="Staff only", charset="UTF-8"\r\n'
    assert challenge("Staff only") == asked
