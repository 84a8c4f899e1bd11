"""Hosts of requests."""

import pytest

from lbconsul.http.errors import Refused
from lbconsul.http.host import Host, read_host

LONGEST = b".".join([b"a" * 63] * 4)[:253]


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        (b"example.com", "example.com", None),
        (b"WWW.Example.COM:8080", "www.example.com", 8080),
        (b"example.com.", "example.com", None),
        (b"a_b-c", "a_b-c", None),
        (b"192.0.2.1:65535", "192.0.2.1", 65535),
        (b"[2001:DB8:0::1]", "2001:db8::1", None),
        (b"[::0]:0", "::", 0),
        (LONGEST + b".:1", LONGEST.decode(), 1),
    ],
)
def test_valid(text: bytes, name: str, port: int | None) -> None:
    """A host is found in one spelling, whichever the client wrote."""
    host = read_host(text)
    assert host == Host(name, port, text)


@pytest.mark.parametrize(
    "text",
    [b"", b"a:65536", b"a:123456", b"[:::]", b"[1.2.3.4]", LONGEST + b"aa", b"a\n"],
)
def test_refused(text: bytes) -> None:
    """A text that can be no name or address is refused."""
    with pytest.raises(Refused, match=r"^its host ") as caught:
        read_host(text)
    assert caught.value.status == 400
