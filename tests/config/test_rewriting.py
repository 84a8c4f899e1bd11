"""Values of the options that rewrite requests and responses."""

import pytest

from lbconsul.config.rewriting import (
    HSTS,
    ErrorPage,
    Header,
    PathRewrite,
    Redirect,
    split_variables,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("$host", ["", "host", ""]),
        ("a$host/$path", ["a", "host", "/", "path", ""]),
        ("$$host", ["$host"]),
        ("$$$host", ["$", "host", ""]),
        ("$5 $", ["$5 $"]),
        ("${host}", ["", "{host", "}"]),
    ],
)
def test_split_variables(text: str, parts: list[str]) -> None:
    """Variables begin with a dollar; two dollars are one."""
    assert split_variables(text) == parts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Header("X-A", "$client"), "X-A: $client"),
        (PathRewrite("^/a$", "/b"), "^/a$ /b"),
        (Redirect(301, "/a"), "301,/a"),
        (HSTS(3600.0), "3600s"),
        (HSTS(3600.0, True), "3600s;includeSubDomains"),
        (HSTS(1e9, True, True), "1000000000s;includeSubDomains;preload"),
        (ErrorPage(503, "/a.html"), "503:/a.html"),
    ],
)
def test_text(value: object, text: str) -> None:
    """Each value is shown as it could be written."""
    assert str(value) == text


@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-API-Key"])
def test_secrets(name: str) -> None:
    """A secret is not shown."""
    assert str(Header(name, "s3cret")) == f"{name}: (hidden)"
