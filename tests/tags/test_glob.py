"""Patterns with stars, sets and braces mean what they mean in fabio."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.tags.glob import compiled, is_glob


def _matches(pattern: str, text: str) -> bool:
    return compiled(pattern).fullmatch(text) is not None


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*.x.com", "a.b.x.com", True),
        ("*.x.com", "x.com", False),
        ("*x.com", "evilx.com", True),
        ("*", "", True),
        ("**", "a/b", True),
        ("a*b*c", "axbxbxc", True),
        ("a*b*c", "axbxbx", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab", "abab", True),
        ("*:8080", "x.com:8080", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[abc]x", "cx", True),
        ("[!abc]x", "dx", True),
        ("[^]x", "^x", True),
        ("{www.,}x.com", "x.com", True),
        ("{www.,}x.com", "www.x.com", True),
        ("{a,b{c,d*}}x", "bdddx", True),
        ("{a,b{c,d}}x", "bx", False),
        (r"{a\,b,[,]}", "a,b", True),
        ("{[,],x}", ",", True),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("a.c", "abc", False),
        ("a}", "a}", True),
    ],
)
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    """A star is any text, dots and slashes too; sets and braces are choices."""
    assert _matches(pattern, text) is matches


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("/bad[", r"'/bad\[' has a \[ that begins neither \[abc\] nor \[a-z\]"),
        ("[]", "begins neither"),
        ("[a-z0-9]", "begins neither"),
        ("[z-a]", r"'\[z-a\]' ends before it begins"),
        ("{a,b", r"has a { without a }"),
        ("{a,[b}", r"has a \[ that begins"),
        ("a\\", "ends with a backslash"),
        ("{a,b}" * 7, "braces for more than 64 patterns"),
        ("{" * 100 + "}" * 100, None),
    ],
)
def test_no_patterns(pattern: str, wrong: str | None) -> None:
    """What is no pattern is an error that says what one may have."""
    if wrong is None:
        assert compiled(pattern).fullmatch("")
        return
    with pytest.raises(ValueError, match=wrong):
        compiled(pattern)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_stars_as_backtracking_finds_them(pattern: str, text: str) -> None:
    """Though it never looks back, it matches what an ordinary search does."""
    plain = re.sub(r"\*+", ".*", pattern)
    assert _matches(pattern, text) == bool(re.fullmatch(plain, text))


def test_no_pattern_takes_long() -> None:
    """A pattern of many stars is compared with a long host at once.

    By looking back it would take longer than the test run.
    """
    assert not _matches("*a" * 100 + "b", "a" * 255)
    assert is_glob("*a")
    assert not is_glob("a.com")
