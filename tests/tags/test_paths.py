"""Paths of tags and of requests, as they are compared."""

import pytest

from lbconsul.http.path import normalized_path
from lbconsul.tags.paths import matched, read_path


@pytest.mark.parametrize(
    ("tag", "request_"),
    [
        ("/foo", b"/foo"),
        ("/foo", b"/%66oo"),
        ("/caf\u00e9", b"/caf%c3%a9"),
        ("/caf%C3%A9", b"/caf%C3%A9"),
        ("/a!b", b"/a%21b"),
        ("/a%21b", b"/a!b"),
        ("/a?b", b"/a%3Fb"),
        ("/a%", b"/a%25"),
        ("/a%2fb", b"/a%2Fb"),
        ("/a/../b", b"/b"),
    ],
)
def test_one_path(tag: str, request_: bytes) -> None:
    """However it is encoded, one path is one."""
    assert read_path(tag).encode() == matched(normalized_path(request_))


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"/a%2Fb", b"/a/b"), (b"/a%252Fb", b"/a%2Fb"), (b"/a%2541", b"/aA")],
)
def test_other_paths(one: bytes, other: bytes) -> None:
    """A slash or a percent sign that is encoded is not decoded."""
    assert matched(normalized_path(one)) != matched(normalized_path(other))


def test_no_path() -> None:
    """A path above the root is none."""
    with pytest.raises(ValueError, match="above the root"):
        read_path("/../x")
