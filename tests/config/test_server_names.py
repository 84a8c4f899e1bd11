"""Server names of TLS clients, and patterns of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.server_names import ServerNames, canonical_name, read_pattern

LABELS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.one_of(st.just("*"), NAMES, NAMES.map("*.{}".format))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM.", "api.example.com"),
        ("localhost", "localhost"),
        ("my_db.service.consul", "my_db.service.consul"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.com", "1.com"),
        (".".join(["x" * 63] * 3 + ["y" * 61]), ".".join(["x" * 63] * 3 + ["y" * 61])),
        ("x" * 64 + ".com", None),
        (".".join(["x" * 63] * 3 + ["y" * 62]), None),
        ("", None),
        (".", None),
        ("example.com..", None),
        (".example.com", None),
        ("a..b", None),
        ("192.0.2.1", None),
        ("0x7f.0x1", None),
        ("::1", None),
        ("*.example.com", None),
        ("a b", None),
        ("a\n", None),
        ("a\0.com", None),
        ("bücher.example", None),
        ("\u212a.example", None),  # the sign of Kelvin, a k in lower case
        ("example.com:443", None),
    ],
)
def test_names(text: str, name: str | None) -> None:
    """A name is in lower case and without a final dot; IP addresses are none."""
    assert canonical_name(text) == name


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("API.example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("*.com", "*.com"),
        ("*", "*"),
    ],
)
def test_patterns(text: str, pattern: str) -> None:
    """Patterns are read as clients' names are."""
    assert read_pattern(text) == pattern


A_NAME = "must be a server name, such as api.example.com, *.example.com, or *"
FIRST_LABEL = "may have a * as the whole first label only, as in *.example.com"
AN_ADDRESS = "is an IP address, for which TLS clients send no server name"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", A_NAME),
        ("*.", A_NAME),
        ("a b", A_NAME),
        ("a..b", A_NAME),
        ("https://example.com", A_NAME),
        ("*." + ".".join(["x" * 63] * 3 + ["y" * 60]), A_NAME),
        ("*example.com", FIRST_LABEL),
        ("api.*.com", FIRST_LABEL),
        ("*.*.com", FIRST_LABEL),
        ("**", FIRST_LABEL),
        ("192.0.2.1", AN_ADDRESS),
        ("::1", AN_ADDRESS),
        ("[2001:db8::1]", AN_ADDRESS),
        ("example.com:443", "must be without a port"),
        ("bücher.example", "must be as clients send it, as in xn--bcher-kva.example"),
        ("ü" * 70, "must be as clients send it, in ASCII"),
    ],
)
def test_bad_patterns(text: str, why: str) -> None:
    """A pattern that could match no client is refused, and told what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        read_pattern(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api.example.com", "name"),
        ("www.example.com", "wildcard"),
        ("a.www.example.com", "wildcard"),
        ("b.a.www.example.com", "wildcard"),
        ("x.api.example.com", "longer wildcard"),
        ("y.x.api.example.com", "longer wildcard"),
        ("example.com", "any"),
        ("xexample.com", "any"),
        ("com", "any"),
        ("", "any"),
        (None, "any"),
    ],
)
def test_which_comes_first(name: str | None, value: str) -> None:
    """A name comes before a wildcard, a longer wildcard before a shorter one."""
    table = ServerNames(
        {
            "*": "any",
            "*.example.com": "wildcard",
            "*.api.example.com": "longer wildcard",
            "api.example.com": "name",
        }
    )
    assert table.find(name) == value


def test_no_match() -> None:
    """A client that no pattern matches gets nothing, nor does one without a name."""
    for patterns in (
        {"*.example.com": 1, "a.example.com": 2},
        {"a.example.com": 2},
        {},
    ):
        table = ServerNames(patterns)
        for name in ("example.com", "b.example.org", "com", None):
            assert table.find(name) is None


@given(st.sets(PATTERNS), NAMES)
def test_as_by_a_search(patterns: set[str], name: str) -> None:
    """The table finds what a search through the patterns, best first, would find."""
    matching = [
        each
        for each in sorted(patterns, key=lambda each: (each[0] != "*", len(each)))
        if each in ("*", name) or (each[0] == "*" and name.endswith(each[1:]))
    ]
    table = ServerNames({each: each for each in patterns})
    assert table.find(name) == (matching[-1] if matching else None)
    assert table.matching(name) == matching[::-1]


def test_all_that_match() -> None:
    """The values of all patterns come in their order; without a name only that of *."""
    table = ServerNames({"*": 1, "*.b.c": 2, "*.c": 3, "a.b.c": 4, "x.c": 5})
    assert table.matching("a.b.c") == [4, 2, 3, 1]
    assert table.matching("c") == [1]
    assert table.matching(None) == [1]
    assert ServerNames({"a": 1}).matching(None) == []
