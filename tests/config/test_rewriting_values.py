"""Options that rewrite requests and responses, as texts."""

import re

import pytest

from lbconsul.config.mapping_options import MAPPING_OPTIONS
from lbconsul.config.rewriting import HSTS, ErrorPage, Header, PathRewrite, Redirect

HEADERS = (
    "set-header", "add-header", "set-response-header", "add-response-header",
)  # fmt: skip
NAMES = ("remove-header", "remove-response-header")


@pytest.mark.parametrize("option", HEADERS)
@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-A: 1", Header("X-A", "1")),
        ("X-A:1", Header("X-A", "1")),
        ("X-A: $client at $$5", Header("X-A", "$client at $$5")),
        ('"X-A: a, b=c, \\"d\\" \\e"', Header("X-A", 'a, b=c, "d" \\e')),
        ("X-A: max-age=5, private", Header("X-A", "max-age=5, private")),
    ],
)
def test_header(option: str, text: str, header: Header) -> None:
    """A field is a name, a colon and a value; quotes around both are dropped."""
    assert MAPPING_OPTIONS[option].parse(text) == (header,)


def _wrong(option: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        MAPPING_OPTIONS[option].parse(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("option", HEADERS)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"^'' must be NAME: VALUE, such as X-Frame-Options: DENY$"),
        ("X-A", "must be NAME: VALUE"),
        ("X-A: ", "must be NAME: VALUE"),
        (": 1", "^'' must be the name of a header field, such as X-Powered-By"),
        ("X A: 1", "^'X A' must be the name of a header field"),
        ("X-A : 1", "^'X-A ' must be the name of a header field"),
        ("X\r\nA: 1", r"^'X\\r\\nA' must be the name of a header field"),
        ("X-A: 1\r\nX-B: 2", "^the value of X-A must have printable ASCII characters"),
        ("X-A: 1\n", "^the value of X-A must have"),
        ("X-A: \0", "^the value of X-A must have"),
        ("X-A: a\tb", "^the value of X-A must have"),
        ("X-A: \xe4", "^the value of X-A must have"),
        ("X-A: " + "a" * 1025, "at most 1024$"),
        ("Content-Length: 1", "^Content-Length cannot be rewritten: it belongs to one"),
        ("content_length: 1", "^content_length cannot be rewritten"),
        ("Connection: close", "^Connection cannot be rewritten"),
        ("Transfer-Encoding: chunked", "^Transfer-Encoding cannot be rewritten"),
        ("Upgrade: a", "^Upgrade cannot be rewritten"),
        (
            "X-A: $hots",
            r"^unknown variable \$hots; known are \$client, \$host, \$request_id,"
            r" \$route, \$scheme, \$service, and \$\$ for a dollar$",
        ),
        ("X-A: ${host}", r"^unknown variable \$\{host"),
        ('"X-A: 1', '^"X-A: 1 must end with the quote that closes it$'),
        ('"', '^" must end with the quote'),
    ],
)
def test_no_header(option: str, text: str, why: str) -> None:
    """What would break a message, or is misspelt, is refused in one line."""
    _wrong(option, text, why)


def test_host() -> None:
    """Host has an option of its own; a response has none."""
    why = "^Host cannot be rewritten here; upstream-host= does it$"
    _wrong("set-header", "host: a", why)
    _wrong("remove-header", "Host", why)
    assert MAPPING_OPTIONS["remove-response-header"].parse("Host") == ("Host",)


@pytest.mark.parametrize("option", NAMES)
def test_name(option: str) -> None:
    """A name is taken as it is."""
    assert MAPPING_OPTIONS[option].parse("X-Powered-By") == ("X-Powered-By",)
    _wrong(option, "X-A,X-B", "'X-A,X-B' must be the name of a header field, such as")
    _wrong(option, "Trailer", "^Trailer cannot be rewritten")


def test_several() -> None:
    """An option of several texts has a value for each."""
    both = (Header("X-A", "1"), Header("X-B", "2"))
    assert MAPPING_OPTIONS["set-header"].parse("X-A: 1,set-header=X-B: 2") == both


@pytest.mark.parametrize("option", ["strip-prefix", "add-prefix"])
@pytest.mark.parametrize(("text", "prefix"), [("/a", "/a"), ("/a/b.c/", "/a/b.c")])
def test_prefix(option: str, text: str, prefix: str) -> None:
    """A slash at the end means nothing."""
    assert MAPPING_OPTIONS[option].parse(text) == prefix


@pytest.mark.parametrize("option", ["strip-prefix", "add-prefix"])
@pytest.mark.parametrize(
    "text",
    ["", "/", "a", "//", "//a", "/a//b", "/a/..", "/./a", "/%2E%2e/a", "/a b", "/a?b",
     "/a#b", "/\xe4", "/a\n"],
)  # fmt: skip
def test_no_prefix(option: str, text: str) -> None:
    """What two servers could take for different paths is no prefix."""
    _wrong(option, text, "^must be the beginning of a path, such as /api, without")


def test_long_prefix() -> None:
    """A prefix is bounded."""
    _wrong("add-prefix", "/" + "a" * 1024, "^must have at most 1024 characters$")


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("^/old/(.*)$ /new/$1", PathRewrite("^/old/(.*)$", "/new/$1")),
        ('"^/a\\.(b){1,2} /$$?c=$1"', PathRewrite("^/a\\.(b){1,2}", "/$$?c=$1")),
    ],
)
def test_rewrite(text: str, rewrite: PathRewrite) -> None:
    """A regular expression and a path are separated by a blank."""
    assert MAPPING_OPTIONS["rewrite"].parse(text) == (rewrite,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "^'' must be REGEX REPLACEMENT with a blank between"),
        ("^/a", "must be REGEX REPLACEMENT"),
        (" /a", "must be REGEX REPLACEMENT"),
        ("/a b", "must be REGEX REPLACEMENT"),
        ("/a /b c", "must be REGEX REPLACEMENT"),
        ("/a /b#c", "must be REGEX REPLACEMENT"),
        ("/a /b\r\n", "must be REGEX REPLACEMENT"),
        ("( /b", r"^\( is no regular expression: missing \)"),
        ("(a /b", r"is no regular expression: missing \)"),
        ("a{99999999999} /b", "is no regular expression: "),
        ("/\xe4 /b", "^must have ASCII characters, at most 1024$"),
        ("/a /" + "b" * 1024, "^must have ASCII characters, at most 1024$"),
        ("/a /../b", r"^/\.\./b must not have dot segments$"),
        ("/a /b/%2e", "must not have dot segments"),
        ("/(a) /$2", r"^\$2 is no group of /\(a\), which has 1; \$\$ is a dollar$"),
        ("/(a) /$0", r"^\$0 is no group"),
        ("/(a) /$x", r"^\$x is no group"),
        ("/(a) /$", r"^\$ is no group"),
    ],
)
def test_no_rewrite(text: str, why: str) -> None:
    """A rewrite that could not work is refused in one line."""
    _wrong("rewrite", text, why)


@pytest.mark.parametrize(
    ("text", "redirect"),
    [
        ("301,https://a.com$path", Redirect(301, "https://a.com$path")),
        ("302,/login?from=$path", Redirect(302, "/login?from=$path")),
        ('"307,http://$host:80/"', Redirect(307, "http://$host:80/")),
        ("308,https://[::1]/", Redirect(308, "https://[::1]/")),
    ],
)
def test_redirect(text: str, redirect: Redirect) -> None:
    """A redirect leads to a URL, or to another path."""
    assert MAPPING_OPTIONS["redirect"].parse(text) == redirect


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "^must be STATUS,URL with one of 301, 302, 307, 308, such as 301,https:"),
        ("https://a.com", "^must be STATUS,URL"),
        ("300,/a", "^must be STATUS,URL"),
        ("301,", "^'' must be a URL with http or https, or a path that begins with"),
        ("301,a.com", "must be a URL with http or https"),
        ("301,//a.com", "must be a URL with http or https"),
        ("301,/\\a.com", "must be a URL with http or https"),
        ("301,$path", "must be a URL with http or https"),
        ("301,https://$path", "must be a URL with http or https"),
        ("301,https://", "must be a URL with http or https"),
        ("301,javascript:a", "must be a URL with http or https"),
        ("301,https://a.com/\r\nX: y", "must be a URL with http or https"),
        ("301,/a\r\nX: y", "must be a URL with http or https"),
        ("301,https://\xe4.com/", "must be a URL with http or https"),
        ("301,/" + "a" * 1024, "at most 1024$"),
        ("301,/$client", r"^unknown variable \$client; known are \$host, \$path, \$qu"),
    ],
)
def test_no_redirect(text: str, why: str) -> None:
    """A redirect that leads nowhere is refused in one line."""
    _wrong("redirect", text, why)


@pytest.mark.parametrize(
    ("text", "hsts"),
    [
        ("off", None),
        ("24h", HSTS(86400.0)),
        ("24h;includesubdomains", HSTS(86400.0, True)),
        ("8760h; includeSubDomains; preload", HSTS(31536000.0, True, True)),
        ("365d;includeSubDomains;preload", HSTS(31536000.0, True, True)),
    ],
)
def test_hsts(text: str, hsts: HSTS | None) -> None:
    """A time, and what it is for."""
    assert MAPPING_OPTIONS["hsts"].parse(text) == hsts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "^must be a number with a unit.*; or off$"),
        ("on", "^must be a number with a unit"),
        ("0s", "^must be longer than 0; or off$"),
        ("24h;sub", "^must be TIME;includeSubDomains;preload, of which"),
        ("24h;preload", "^preload needs includeSubDomains, and a year"),
        ("8760h;preload", "^preload needs includeSubDomains, and a year"),
        ("24h;includeSubDomains;preload", "^preload needs includeSubDomains"),
    ],
)
def test_no_hsts(text: str, why: str) -> None:
    """What browsers would not take is refused in one line."""
    _wrong("hsts", text, why)


def test_error_page() -> None:
    """A status and a file."""
    parse = MAPPING_OPTIONS["error-page"].parse
    assert parse("503:/a b.HTML") == (ErrorPage(503, "/a b.HTML"),)
    both = (ErrorPage(503, "/a.html"), ErrorPage(502, "/a.html"))
    assert parse("503:/a.html,error-page=502:/a.html") == both


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "^'' must be STATUS:/PATH, such as 503:/etc/sorry.html, with one of 400,"),
        ("/a.html", "must be STATUS:/PATH"),
        ("200:/a.html", "must be STATUS:/PATH"),
        ("503:/a", re.escape("'/a' must be the path of a file, and end with one of")),
        ("503:", "'' must be the path of a file"),
        ("503:/a\n.html", "must be the path of a file"),
        ("503:/a.js", r"end with one of .html, .json, .txt, .xml$"),
        ("503:/a.html,error-page=503:/b.html", "^status 503 is given twice$"),
    ],
)
def test_no_error_page(text: str, why: str) -> None:
    """A page of no known type, or for no answer of ours, is refused in one line."""
    _wrong("error-page", text, why)
