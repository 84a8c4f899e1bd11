"""Requests and responses are rewritten."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.rewriting import Rewriting
from lbconsul.http.errors import Refused
from lbconsul.http.head import Limits
from lbconsul.http.request import RequestHead, RequestParser, request_fields
from lbconsul.http.rewriting import RequestRewriting, ResponseRewriting

VARIABLES = {
    b"client": b"192.0.2.1",
    b"host": b"a.com",
    b"request_id": b"r-1",
    b"route": b"a.com/api",
    b"scheme": b"http",
    b"service": b"web",
}
SECURE = VARIABLES | {b"scheme": b"https"}


def rewriting(*options: str) -> Rewriting:
    """What these options of a mapping say."""
    [mapping] = configure(mappings=[",".join(["80:web,mode=http", *options])]).mappings
    return mapping.rewriting


def head(target: str, line: str = "GET {} HTTP/1.1") -> RequestHead:
    """The head of a request for this target."""
    text = f"{line.format(target)}\r\nHost: a.com\r\n\r\n".encode()
    found = RequestParser(request_fields(), Limits()).parse(text)
    assert found is not None
    return found


def sent(target: str, *options: str) -> str:
    """The target that an instance gets."""
    request = RequestRewriting.of(rewriting(*options))
    assert request is not None
    found = head(target)
    method, target, version = request.line(found, found.path).decode().split(" ")
    assert (method, version) == ("GET", "HTTP/1.1\r\n")
    return target


def edited(lines: str, *options: str, path: bytes = b"/") -> str:
    """The field lines that an instance gets, with bars for line ends."""
    request = RequestRewriting.of(rewriting(*options))
    assert request is not None
    given = lines.replace("|", "\r\n").encode()
    return request.lines(given, path, VARIABLES).decode().replace("\r\n", "|")


def answered(lines: str, *options: str, is_secure: bool = False) -> str:
    """The same for a client."""
    response = ResponseRewriting.of(rewriting(*options))
    assert response is not None
    given = lines.replace("|", "\r\n").encode()
    variables = SECURE if is_secure else VARIABLES
    return response.lines(given, variables).decode().replace("\r\n", "|")


def test_nothing() -> None:
    """A mapping that rewrites nothing has nothing that does."""
    for options in ((), ("redirect=301,/a", "error-page=503:/a.html", "hsts=off")):
        assert RequestRewriting.of(rewriting(*options)) is None
        assert ResponseRewriting.of(rewriting(*options)) is None
    assert RequestRewriting.of(rewriting("hsts=24h")) is None
    assert ResponseRewriting.of(rewriting("strip-prefix=/a")) is None


class TestFields:
    """Header fields are set, added and removed."""

    LINES = "Host: a.com|x-a: 1|X-AB: 2|X-B: x-a: 3|X-A: 4|"

    def test_set(self) -> None:
        """A field that is set is there once."""
        assert edited(self.LINES, "set-header=X-A: 5") == (
            "Host: a.com|X-AB: 2|X-B: x-a: 3|X-A: 5|"
        )

    def test_add(self) -> None:
        """A field that is added is beside the client's."""
        assert edited("X-A: 1|", "add-header=X-A: 5", "add-header=X-A: 6") == (
            "X-A: 1|X-A: 5|X-A: 6|"
        )

    def test_remove(self) -> None:
        """A field that is removed is gone, wherever it stands."""
        assert edited(self.LINES, "remove-header=X-a", "remove-header=x-b") == (
            "Host: a.com|X-AB: 2|"
        )

    @pytest.mark.parametrize("name", ["X_User", "x.user", "X-USER", "X*User"])
    def test_as_cgi_takes_it(self, name: str) -> None:
        """A name that a server behind CGI would take for it goes, too."""
        options = ("set-header=X-User: $client",)
        assert edited(f"{name}: root|", *options) == "X-User: 192.0.2.1|"
        assert edited("XaUser: root|", *options).startswith("XaUser: root|")

    def test_special_characters(self) -> None:
        """Characters that mean something in regular expressions mean themselves."""
        assert edited("X+A: 1|XXA: 2|", "remove-header=X+A") == "XXA: 2|"

    def test_variables(self) -> None:
        """Values can have variables."""
        options = ("set-header=X-A: $client/$scheme/$host/$request_id/$service $route",)
        assert edited("", *options) == ("X-A: 192.0.2.1/http/a.com/r-1/web a.com/api|")

    def test_path_alone(self) -> None:
        """Fields stay if only the path is rewritten."""
        assert edited(self.LINES, "add-prefix=/a") == self.LINES

    def test_response(self) -> None:
        """The same holds for responses, for http and https."""
        options = (
            "set-response-header=Server: $service",
            "add-response-header=X-A: 2",
            "remove-response-header=X-Powered-By",
        )
        for is_secure in (False, True):
            assert answered(
                "X-A: 1|server: x|X-Powered-By: PHP|", *options, is_secure=is_secure
            ) == ("X-A: 1|Server: web|X-A: 2|")


class TestHSTS:
    """Strict-Transport-Security is for https alone (RFC 6797, 7.2)."""

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("24h", "max-age=86400"),
            ("24h;includeSubDomains", "max-age=86400; includeSubDomains"),
            (
                "8760h;includeSubDomains;preload",
                "max-age=31536000; includeSubDomains; preload",
            ),
        ],
    )
    def test_https(self, option: str, value: str) -> None:
        """A client that came with https gets it in place of the instance's."""
        lines = "X-A: 1|strict-transport-security: max-age=0|"
        assert answered(lines, f"hsts={option}", is_secure=True) == (
            f"X-A: 1|Strict-Transport-Security: {value}|"
        )

    def test_http(self) -> None:
        """Another gets nothing."""
        assert answered("X-A: 1|", "hsts=24h") == "X-A: 1|"


class TestPaths:
    """Paths are rewritten, and stay paths."""

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("/api/x", "/x"),
            ("/api", "/"),
            ("/api/", "/"),
            ("/api?a=/api", "/?a=/api"),
            ("/apis/x", "/apis/x"),
            ("/x/api", "/x/api"),
            ("/API/x", "/API/x"),
            ("/api//evil", "/evil"),
            ("//api/x", "//api/x"),
            ("/api/a//b", "/a//b"),
            ("/api%2Fx", "/api%2Fx"),
            ("/", "/"),
        ],
    )
    def test_strip_prefix(self, target: str, expected: str) -> None:
        """A prefix is stripped on the bounds of segments."""
        assert sent(target, "strip-prefix=/api/") == expected

    @pytest.mark.parametrize(
        ("target", "expected"),
        [("/x?a", "/v1/x?a"), ("/", "/v1/"), ("//x", "/v1//x")],
    )
    def test_add_prefix(self, target: str, expected: str) -> None:
        """A prefix is added to each path."""
        assert sent(target, "add-prefix=/v1") == expected

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("/old/a/b?c=d", "/new/a/b?c=d"),
            ("/old/", "/new/"),
            ("/x/old/a", "/x/old/a"),
            ("/q/a?c=d", "/search?q=a&c=d"),
            ("/q/a?", "/search?q=a&"),
            ("/q/a", "/search?q=a"),
            ("/odd", "/$"),
            ("/host/a", "/host/a"),
            ("/opt", "/opt."),
            ("/opta", "/opta."),
            ("/up//evil", "/evil"),
            ("//up/evil", "//evil"),
        ],
    )
    def test_rewrite(self, target: str, expected: str) -> None:
        """The first expression that is found in a path says what becomes of it."""
        options = (
            "rewrite=^/old/(.*)$ /new/$1",
            "rewrite=^/q/(.*)$ /search?q=$1",
            "rewrite=^/odd$ /$$",
            "rewrite=^/opt(a)?$ /opt$1.",
            "rewrite=^/up(/.*)$ /$1",
            "rewrite=^//up(/.*)$ /$1",
            "rewrite=^/old/a /never",
        )
        assert sent(target, *options) == expected

    @pytest.mark.parametrize(
        "target", ["/a../x", "/a..", "/a.;x", "/a.%2e/x", "/a%2E", "/a../?b"]
    )
    def test_dot_segments(self, target: str) -> None:
        """Dots that become a segment of their own are refused."""
        with pytest.raises(Refused, match="its path would have dot segments") as raised:
            sent(target, "rewrite=^/a(.*)$ /$1")
        assert raised.value.status == 400

    def test_in_turn(self) -> None:
        """A prefix is stripped, the rest is rewritten, a prefix is added."""
        options = ("add-prefix=/v1", "rewrite=^/a /b", "strip-prefix=/api")
        assert sent("/api/a", *options) == "/v1/b"

    def test_asterisk(self) -> None:
        """``OPTIONS *`` stays."""
        request = RequestRewriting.of(rewriting("add-prefix=/a"))
        assert request is not None
        found = head("*", "OPTIONS {} HTTP/1.1")
        assert request.line(found, found.path) == b"OPTIONS * HTTP/1.1\r\n"

    def test_without_dot_segments(self) -> None:
        """A path whose dot segments were resolved is sent without them."""
        request = RequestRewriting.of(rewriting("strip-prefix=/api"))
        assert request is not None
        found = head("/x/../api/../y?z")
        assert request.line(found, b"/y") == b"GET /y?z HTTP/1.1\r\n"

    def test_unchanged(self) -> None:
        """A line that does not change is sent as it came."""
        request = RequestRewriting.of(rewriting("strip-prefix=/api"))
        assert request is not None
        found = head("/x")
        assert request.line(found, b"/x") is found.line

    def test_tells_the_prefix(self) -> None:
        """Instances learn of a prefix that was stripped."""
        option = "strip-prefix=/api"
        told = edited("A: b|", option, path=b"/api/x")
        assert told == "A: b|X-Forwarded-Prefix: /api|"
        assert edited("A: b|", option, path=b"/apis") == "A: b|"


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/foo", "/foo/bar", "/bar"),
        ("/foo", "/foobar", "/bar"),
        ("/foo", "/foo", "/"),
        ("/foo", "/Foo/x", "/Foo/x"),
        ("/foo/", "/foo/bar", "/bar"),
        ("/foo/", "/foo", "/foo"),
        ("/foo", "/foo//evil.com", "/evil.com"),
        ("/a!b", "/a%21b/x", "/x"),
        ("/a!b", "/a!b/x", "/x"),
        ("/caf%C3%A9", "/caf%C3%A9/x%2Fy", "/x%2Fy"),
    ],
)
def test_strip_within_segments(prefix: str, path: str, expected: str) -> None:
    """The prefix of a tag is cut wherever it ends, and the rest stays as it came."""
    request = RequestRewriting.of(
        Rewriting(strip_prefix=prefix, strips_within_segments=True)
    )
    assert request is not None
    given = path.encode()
    assert request.path(given) == expected.encode()
    told = b"" if expected == path else f"X-Forwarded-Prefix: {prefix}\r\n".encode()
    assert request.lines(b"", given, VARIABLES) == told
