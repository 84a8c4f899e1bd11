"""Trailers that are passed on; for those refused see `test_ambiguous`."""

import pytest

from lbconsul.http.errors import Refused
from lbconsul.http.trailers import passed_trailers


def test_passed_on() -> None:
    """Trailers pass in their order, as gRPC needs them."""
    lines = [b"grpc-status: 0", b"grpc-message:", b"Digest: sha-256=a"]
    assert passed_trailers(lines) == b"\r\n".join([*lines, b"", b""])


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close",
        b"X-Forwarded-For: 192.0.2.1",
        b"x_forwarded_for: 192.0.2.1",
        b"Forwarded: for=192.0.2.1",
        b"Authorization: Basic YQ==",
        b"Set-Cookie: a=b",
        b"Content-Type: text/html",
    ],
)
def test_dropped(line: bytes) -> None:
    """A trailer that a server could take for a field of the head is not passed on."""
    assert passed_trailers([b"A: b", line]) == b"A: b\r\n\r\n"
    assert passed_trailers([line]) == b"\r\n"


@pytest.mark.parametrize("line", [b"Content-Length: 3", b"transfer_encoding: a", b"A"])
def test_refused(line: bytes) -> None:
    """A trailer that says where the message ends is refused."""
    with pytest.raises(Refused, match="trailer"):
        passed_trailers([line])
