"""Fields that mean something to a proxy; the others' tests are those of heads."""

import pytest

from lbconsul.http.fields import Fields
from lbconsul.http.readers import read_authentication, read_keep_alive


@pytest.mark.parametrize(
    ("value", "timeout"),
    [
        (b"timeout=5", 5),
        (b"max=100, Timeout = 30", 30),
        (b'timeout="7"', 7),
        (b"max=100", None),
        (b"xtimeout=5", None),
        (b"timeout=-1", None),
    ],
)
def test_keep_alive(value: bytes, timeout: int | None) -> None:
    """An upstream tells how long it keeps an idle connection."""
    fields = Fields(b"", 1)
    read_keep_alive(b"Keep-Alive: " + value, value)(fields)
    assert fields.keep_alive == timeout
    assert fields.dropped == (b"Keep-Alive: " + value,)


@pytest.mark.parametrize(
    ("value", "binds"),
    [
        (b"NTLM", True),
        (b"negotiate YII=", True),
        (b'Basic realm="a", NTLM', True),
        (b"Negotiate,NTLM", True),
        (b"Bearer negotiate", False),
        (b"NTLM2 a", False),
        (b"Basic YQ==", False),
    ],
)
def test_authentication_of_a_connection(value: bytes, binds: bool) -> None:
    """NTLM and Negotiate bind a connection to its user; other schemes do not."""
    fields = Fields(b"", 1)
    read_authentication(b"Authorization: " + value, value)(fields)
    assert fields.binds is binds
