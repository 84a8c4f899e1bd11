"""The normal form of paths: equal paths have one, and ambiguous ones have none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.url_path import normalized


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("//a//b", "//a//b"),
        ("/%61%7eb%2D", "/a~b-"),
        ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
        ("/%e4%C3", "/%E4%C3"),
        ("/a%252e%252e", "/a%252e%252e"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/a//../b", "/a/b"),
        ("/.well-known/x..y/...", "/.well-known/x..y/..."),
        ("/a;b=1,2:@!$&'()*+", "/a;b=1,2:@!$&'()*+"),
    ],
)
def test_normal(path: str, normal: str) -> None:
    """Escapes and dot segments that mean the same become the same."""
    assert normalized(path) == normal


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "has characters that must be percent-encoded"),
        ("a", "has characters that must be percent-encoded"),
        ("/a b", "has characters that must be percent-encoded"),
        ("/ä", "has characters that must be percent-encoded"),
        ("/a?b", "has characters that must be percent-encoded"),
        ("/a\n", "has characters that must be percent-encoded"),
        ("/100%", "has a % that begins no escape"),
        ("/%4", "has a % that begins no escape"),
        ("/%0g", "has a % that begins no escape"),
        ("/a\\b", "has a backslash"),
        ("/a%5cb", "has a backslash"),
        ("/a%00", "has an encoded NUL"),
        ("/a/..;x/b", "has dots that servers understand differently"),
        ("/a/%2e%3bx", "has dots that servers understand differently"),
        ("/a/..%2fb", "has dots that servers understand differently"),
        ("/a%2f..", "has dots that servers understand differently"),
        ("/a%2f%2e/b", "has dots that servers understand differently"),
        ("/..", "leads above the root"),
        ("/a/../../b", "leads above the root"),
    ],
)
def test_ambiguous(path: str, why: str) -> None:
    """What servers understand differently has no normal form."""
    with pytest.raises(ValueError, match=f"^{why}$"):
        normalized(path)


@given(st.text("/.%2eEfFa;", max_size=20).map("/".__add__))
def test_once(path: str) -> None:
    """A normal form is its own, and has no dot segment left."""
    try:
        normal = normalized(path)
    except ValueError:
        return
    assert normalized(normal) == normal
    assert not {".", ".."} & set(normal.split("/"))
