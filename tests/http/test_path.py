"""Paths of requests are matched, and passed on, in one form."""

import pytest

from lbconsul.http.errors import Refused
from lbconsul.http.path import normalized_path


@pytest.mark.parametrize(
    "path", [b"/", b"/a/b.c", b"*", b"//", b"/.well-known/x", b"/a%2Fb", b"/%C3%A4"]
)
def test_normal(path: bytes) -> None:
    """Most paths are in that form already, and remain the same object."""
    assert normalized_path(path) is path


@pytest.mark.parametrize(
    ("path", "normal"),
    [(b"/a/../b", b"/b"), (b"/a/%2e%2e/b", b"/b"), (b"/%61%2f", b"/a%2F")],
)
def test_changed(path: bytes, normal: bytes) -> None:
    """Paths that mean the same become the same before a route is looked for."""
    assert normalized_path(path) == normal


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"/a\\b", "its path has a backslash"),
        (b"/a%5cb", "its path has a backslash"),
        (b"/a%00b", "its path has an encoded NUL"),
        (b"/a%b", "its path has a % that begins no escape"),
        (b"/../a", "its path leads above the root"),
        (b"/a/..;/b", "its path has dots that servers understand differently"),
    ],
)
def test_refused(path: bytes, why: str) -> None:
    """A path that servers understand differently is the client's mistake."""
    with pytest.raises(Refused) as caught:
        normalized_path(path)
    assert (caught.value.status, str(caught.value)) == (400, why)
