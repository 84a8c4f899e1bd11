"""Routes of requests: their patterns and conditions, and which cannot go together."""

import pytest

from lbconsul.config.build import build, configure
from lbconsul.config.model import Mapping
from lbconsul.config.sources import Source, from_command_line, from_toml
from lbconsul.errors import ConfigError

HTTP = "80:web,mode=http"


def _mapping(*routes: str, mapping: str = HTTP) -> Mapping:
    [built] = configure(mappings=[mapping], routes=routes).mappings
    return built


@pytest.mark.parametrize(
    ("route", "pattern", "service"),
    [
        ("80:example.com=a", "example.com", "a"),
        ("80:example.com/api=a", "example.com/api", "a"),
        ("80:/static=a", "/static", "a"),
        ("80:*.example.com=a", "*.example.com", "a"),
        ("80:=a", "*", "a"),
        ("80:/=a", "*", "a"),
        ("80:=/=a", "=/", "a"),
        ("80:example.com=/login=a", "example.com=/login", "a"),
        ('80:=/login="/odd"', "=/login", "/odd"),
        ("80:[2001:db8::1]/x=a", "[2001:db8::1]/x", "a"),
        ("0.0.0.0:80:/v1/a:b,c=a", "/v1/a:b,c", "a"),
        ("80:/x=a,if-method=GET,tag=v2", "/x if-method=GET", "a"),
        ("80:/x=a,if-header=x-beta:1,2", "/x if-header=x-beta:1,2", "a"),
    ],
)
def test_patterns(route: str, pattern: str, service: str) -> None:
    """A route takes requests by host, path and conditions."""
    [built] = _mapping(route).routes
    assert (built.route, built.service) == (pattern, service)


def test_shown() -> None:
    """A route is shown as it is written."""
    mapping = _mapping("80:a.com=/x=a,if-header=B:1,if-method=GET,tag=v2")
    assert [str(row) for row in mapping.rows] == [
        "80:web",
        "80:a.com=/x=a,if-method=GET,if-header=b:1",
    ]
    assert mapping.routes[0].tag == "v2"


def test_at_a_unix_socket() -> None:
    """The path of a socket ends before that of a route."""
    mapping = _mapping("unix:/run/w:/x=a", mapping="unix:/run/w:web,mode=http")
    assert mapping.routes[0].route == "/x"


def test_side_by_side() -> None:
    """Routes with one path can differ in their conditions."""
    mapping = _mapping(
        "80:/a=a", "80:/a=b,if-method=GET", "80:/a=c,if-method=POST", "80:=/a=d"
    )
    assert [row.route for row in mapping.routes] == [
        "/a", "/a if-method=GET", "/a if-method=POST", "=/a"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("80:/a=a", "80:*/a=b", "/a is taken by --route 80:/a=a"),
        (
            "80:/a=a,if-method=GET",
            "80:/a=b,if-method=GET|HEAD",
            "takes requests that --route 80:/a=a,if-method=GET takes, too, and nothing"
            " says which comes first",
        ),
        (
            "80:/a=a,if-header=x",
            "80:/a=b,if-header=y",
            "takes requests that --route 80:/a=a,if-header=x takes, too, and nothing"
            " says which comes first",
        ),
    ],
)
def test_ties(one: str, other: str, why: str) -> None:
    """Two routes for the same requests are refused."""
    with pytest.raises(ConfigError) as raised:
        _mapping(one, other)
    assert str(raised.value) == f"--route {other}: {why}"


def test_of_another_mode() -> None:
    """A pattern means what the mode of its mapping makes of it."""
    assert _mapping("80:*=a", mapping="80:-,mode=sni").routes[0].route == "*"
    with pytest.raises(ConfigError, match=r"'a\.com/x' has a path, which needs mode="):
        _mapping("80:a.com/x=a", mapping="80:web")


TABLE = """
[[map]]
listen = 80
mode = "http"
retry-on = ["502", "timeout"]
trusted-proxies = ["10.0.0.0/8"]
log-fields = ["request:x-tenant", "response:x-cache"]

[[map.route]]
match = "example.com=/a=b"
service = "a"
if-method = "GET"
if-header = "x-beta"

[[map.route]]
match = "/api"
service = "b"
"""


def test_file() -> None:
    """A file has the same patterns, in which every path can be written."""
    [mapping] = build(Source(), from_toml(TABLE, "lb"), Source()).mappings
    assert mapping.http.retry_on == {"502", "timeout"}
    assert [row.route for row in mapping.routes] == [
        "example.com=/a=b if-method=GET,if-header=x-beta",
        "/api",
    ]


def test_file_replaced() -> None:
    """Routes of a file are read by the mapping that is served, in its mode."""
    [mapping] = build(
        Source(), from_toml(TABLE, "lb"), from_command_line({}, (), ["80:web"])
    ).mappings
    assert (mapping.mode, mapping.routes) == ("tcp", ())


def test_condition_of_a_mapping() -> None:
    """Only routes have conditions."""
    with pytest.raises(ConfigError, match="unknown option 'if-method'"):
        _mapping(mapping=f"{HTTP},if-method=GET")
