"""Patterns of requests: how they are written, and which can go together."""

import pytest

from lbconsul.config.route_pattern import RoutePattern


def _read(text: str) -> RoutePattern:
    """A pattern as it is on the command line, with options for its conditions."""
    pattern, *options = text.split(",")
    given = dict(each.split("=", 1) for each in options)
    return RoutePattern.read(
        pattern, given.get("if-method", ""), given.get("if-header", "")
    )


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "*"),
        ("*", "*"),
        ("/", "*"),
        ("Example.COM.", "example.com"),
        ("example.com/", "example.com"),
        ("*.Example.com/api", "*.example.com/api"),
        ("*/api", "/api"),
        ("/api/", "/api/"),
        ("=/", "=/"),
        ("*=/login", "=/login"),
        ("example.com=/login", "example.com=/login"),
        ("example.com/a=b", "example.com/a=b"),
        ("/%61%2fb/./c", "/a%2Fb/c"),
        ("192.0.2.1/a", "192.0.2.1/a"),
        ("[2001:DB8:0::1]/a", "[2001:db8::1]/a"),
        ("/a,if-method=HEAD|GET", "/a if-method=GET|HEAD"),
        (",if-header=X-Beta", "* if-header=x-beta"),
        ("a/b,if-header=X: 1  2 ", "a/b if-header=x:1  2"),
        ("a,if-method=GET,if-header=x:a:b", "a if-method=GET,if-header=x:a:b"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    """Patterns that take the same requests have the same text, which can be read."""
    pattern = _read(text)
    assert str(pattern) == canonical
    assert RoutePattern.parse(canonical) == pattern


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a=b", "'a=b' must be HOST, HOST/PATH or HOST=/PATH"),
        ("a_b!", "'a_b!' must be a server name"),
        ("a.com:80/x", "'a.com:80' must be without a port"),
        ("::1", "'::1' must have brackets if it is an IPv6 address"),
        ("[192.0.2.1]", r"'\[192.0.2.1\]' must have brackets if it is an IPv6"),
        ("a/b c", "'/b c' has characters that must be percent-encoded"),
        ("a/b#c", "'/b#c' must be a path, without a query"),
        ("/a/../..", "'/a/../..' leads above the root"),
        ("a,if-method=get", "if-method must be methods in upper case, such as GET|"),
        ("a,if-method=GET|", "if-method must be methods in upper case"),
        ("a,if-header=a b", "if-header must be NAME or NAME:VALUE"),
        ("a,if-header=a:", "if-header must be NAME or NAME:VALUE"),
        ("a,if-header=a:ä", "if-header must be NAME or NAME:VALUE"),
        ("a,if-header=:b", "if-header must be NAME or NAME:VALUE"),
    ],
)
def test_mistakes(text: str, why: str) -> None:
    """The error says what would be right."""
    with pytest.raises(ValueError, match=f"^{why}"):
        _read(text)


def test_no_text_of_a_pattern() -> None:
    """Behind a blank there are conditions only."""
    with pytest.raises(ValueError, match="'tag=v2' are no conditions"):
        RoutePattern.parse("a.com tag=v2")


@pytest.mark.parametrize(
    ("one", "other", "do_tie"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a/x", False),
        ("a/x", "a=/x", False),
        ("a", "a,if-method=GET", False),
        ("a,if-method=GET", "a,if-method=GET|HEAD", True),
        ("a,if-method=GET", "a,if-method=POST", False),
        ("a,if-method=GET", "a,if-header=x", False),
        ("a,if-header=x", "a,if-header=y", True),
        ("a,if-header=x", "a,if-header=x:1", False),
        ("a,if-header=x:1", "a,if-header=x:2", False),
        ("a,if-header=x:1", "a,if-header=y:1", True),
        ("a,if-method=GET,if-header=x:1", "a,if-method=GET,if-header=y:1", True),
        ("a,if-method=GET,if-header=x:1", "a,if-method=PUT,if-header=y:1", False),
    ],
)
def test_ties(one: str, other: str, do_tie: bool) -> None:
    """Patterns at one place tie if one request can match both, and none is more
    specific."""
    assert _read(one).ties_with(_read(other)) is do_tie
    assert _read(other).ties_with(_read(one)) is do_tie
