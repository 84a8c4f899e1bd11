"""Heads of requests that are accepted; for others see `test_ambiguous`."""

import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.errors import Refused
from lbconsul.http.head import CHUNKED, Limits
from lbconsul.http.request import Form, RequestHead, RequestParser, request_fields

BROWSER = (
    b"GET /api/items?page=3 HTTP/1.1\r\n"
    b"Host: www.Example.com:8080\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101\r\n"
    b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: a=b; c=d\r\n\r\n"
)


def parser(**limits: int) -> RequestParser:
    """A parser that remembers nothing yet."""
    return RequestParser(request_fields(), Limits(**limits))


def parse(data: bytes) -> RequestHead:
    """The head that the data is."""
    head = parser().parse(data)
    assert head is not None
    assert head.raw == data
    return head


def asked(
    *lines: bytes, version: bytes = b"1.1", host: bytes = b"Host: a"
) -> RequestHead:
    """The head of a POST with these fields."""
    return parse(b"\r\n".join([b"POST / HTTP/" + version, host, *lines, b"", b""]))


def passed(head: RequestHead) -> list[bytes]:
    """The lines that are passed on, without the Host."""
    assert head.fields.lines.endswith(b"\r\n")
    lines = head.fields.lines.split(b"\r\n")[:-1]
    assert lines.pop(0) == b"Host: a"
    return lines


def test_browser() -> None:
    """A browser's request is passed on as it is."""
    head = parse(BROWSER)
    assert (head.method, head.form) == (b"GET", Form.ORIGIN)
    assert (head.target, head.path) == (b"/api/items?page=3", b"/api/items")
    assert head.line + head.fields.lines + b"\r\n" == BROWSER
    fields = head.fields
    assert fields.host is not None
    assert (fields.host.name, fields.host.port) == ("www.example.com", 8080)
    assert fields.host.text == b"www.Example.com:8080"
    assert (fields.minor, fields.body, fields.close) == (1, 0, False)
    assert not (fields.upgrade or fields.expects_continue or fields.forwarded)


@pytest.mark.parametrize(
    ("line", "form", "sent", "path"),
    [
        (b"OPTIONS *", Form.ASTERISK, b"OPTIONS *", b"*"),
        (b"OPTIONS http://a", Form.ABSOLUTE, b"OPTIONS *", b"*"),
        (b"OPTIONS http://a/", Form.ABSOLUTE, b"OPTIONS /", b"/"),
        (b"OPTIONS http://a?b", Form.ABSOLUTE, b"OPTIONS /?b", b"/"),
        (b"GET http://A", Form.ABSOLUTE, b"GET /", b"/"),
        (b"GET HTTPS://a/b?c=/d", Form.ABSOLUTE, b"GET /b?c=/d", b"/b"),
        (b"GET //b?c?d", Form.ORIGIN, b"GET //b?c?d", b"//b"),
    ],
)
def test_forms(line: bytes, form: Form, sent: bytes, path: bytes) -> None:
    """A target is passed on in origin form (RFC 9112, 3.2)."""
    for minor in (b"0", b"1"):
        head = parse(line + b" HTTP/1." + minor + b"\r\nHost: a\r\n\r\n")
        assert (head.form, head.path) == (form, path)
        assert head.line == sent + b" HTTP/1.1\r\n"
        assert head.target == sent.split(b" ")[1]


def test_absolute_form_waits() -> None:
    """A request in absolute form may come in pieces, too."""
    data = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"
    assert all(parser().parse(data[:end]) is None for end in range(len(data)))


def test_last() -> None:
    """A request that equals the connection's last one is not parsed again."""
    parsing = parser()
    first = parsing.parse(BROWSER)
    assert first is not None
    assert parsing.parse(b"xx" + BROWSER + BROWSER, 2, first) is first
    other = BROWSER.replace(b"page=3", b"page=4")
    second = parsing.parse(other, 0, first)
    assert second is not None and second is not first
    assert second.fields is first.fields
    assert (second.target, second.raw) == (b"/api/items?page=4", other)
    for changed in (
        BROWSER.replace(b"a=b", b"a=c"),
        BROWSER.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ):
        third = parsing.parse(changed, 0, first)
        assert third is not None
        assert third.fields is not first.fields
    assert parsing.parse(BROWSER[:-1], 0, first) is None


@pytest.mark.parametrize(
    ("version", "lines", "close"),
    [
        (b"1.1", [], False),
        (b"1.1", [b"Connection: keep-alive"], False),
        (b"1.1", [b"Connection: Close"], True),
        (b"1.1", [b"Connection: x", b"Connection: y, close"], True),
        (b"1.0", [], True),
        (b"1.0", [b"Connection: Keep-Alive"], False),
        (b"1.0", [b"Connection: keep-alive, close"], True),
    ],
)
def test_close(version: bytes, lines: list[bytes], close: bool) -> None:
    """The version and Connection say whether a connection goes on (RFC 9112, 9.3)."""
    head = asked(*lines, version=version)
    assert head.fields.close is close
    assert b"close" not in head.fields.lines.lower()
    assert head.line == b"POST / HTTP/1.1\r\n"


def test_http10_without_host() -> None:
    """HTTP/1.0 needs no Host."""
    head = parse(b"GET / HTTP/1.0\r\n\r\n")
    assert head.fields.host is None
    assert head.fields.lines == b""


def test_bodies() -> None:
    """A request has a body by its fields, not by its method (RFC 9112, 6.3)."""
    assert asked().fields.body == 0
    assert asked(b"Content-Length: 0").fields.body == 0
    assert asked(b"Content-Length: 012").fields.body == 12
    assert asked(b"Transfer-Encoding: Chunked").fields.body == CHUNKED
    assert asked(b"Content_Length: 3").fields.body == 0


def test_what_the_log_shows() -> None:
    """Referer and User-Agent are noted for the log, and passed on however written."""
    fields = asked(b'referer: http://a/"', b"USER-AGENT:  b ").fields
    assert (fields.referer, fields.user_agent) == ("http://a/\\x22", "b")
    assert b'\r\nreferer: http://a/"\r\nUSER-AGENT:  b \r\n' in fields.lines
    fields = asked(b"User_Agent: b", b"Referer:").fields
    assert (fields.referer, fields.user_agent) == ("-", "-")
    assert b"\r\nUser_Agent: b\r\n" in fields.lines


def test_rewritten() -> None:
    """Framing and Host are passed on in the spelling that all servers understand."""
    head = asked(b"content-length:\t012 ", b"A:b", host=b"hOST:WWW.Example.com\t")
    assert head.fields.body == 12
    lines = b"A:b\r\nhOST: WWW.Example.com\r\ncontent-length: 12\r\n"
    assert head.fields.lines == lines
    head = asked(b"Transfer-Encoding: CHUNKED")
    assert passed(head) == [b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize(
    ("data", "calls"),
    [
        (BROWSER, 1),
        (BROWSER.replace(b"page=3", b"page=4"), 2),
        (BROWSER.replace(b"a=b", b"a=c"), 4),
    ],
)
def test_cost(data: bytes, calls: int) -> None:
    """A request costs few calls: one if it is the last one again, two with its fields.

    A browser's request with another Cookie calls no more than is counted here.
    """
    parsing = parser()
    last = parsing.parse(BROWSER)
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        parsing.parse(data, 0, last)
    finally:
        sys.setprofile(None)
    assert counted == calls


#: Lines beside which a Cookie may stand, some of which change what becomes of it.
_BESIDE = (
    b"Connection: keep-alive",
    b"Connection: cookie",
    b"Cookie: b=c",
    b"cookie: d=e",
    b"X: Cookie: f=g",
    b"Content-Length: 5",
    b"Authorization: Basic YTpi",
)

_COOKIES = (b"", b"a=b", b"a=c; d=e", b" \xff\t")


def outcome(
    parsing: RequestParser, data: bytes, last: RequestHead | None
) -> dict[str, object]:
    """What the fields of a head mean, or why it is refused."""
    try:
        head = parsing.parse(data, 0, last)
    except Refused as refused:
        return {"refused": str(refused)}
    if head is None:
        return {}
    found = vars(head.fields) | {"head": head.raw}
    found.pop("around_cookie", None)
    return found


@given(
    st.lists(st.sampled_from(_BESIDE), max_size=4),
    st.lists(st.sampled_from(_BESIDE), max_size=4),
    st.sampled_from(_COOKIES),
    st.sampled_from([*_COOKIES, b"x" * 200, b"a\n", b"a\r", b"\0", b"a\r\nB: c"]),
    st.sampled_from([b"1.0", b"1.1", b"1.1"]),
)
def test_another_cookie(
    before: list[bytes], behind: list[bytes], one: bytes, other: bytes, version: bytes
) -> None:
    """A head that differs from the last one in its Cookie means what it does alone."""

    def asking(cookie: bytes, version: bytes = b"1.1") -> bytes:
        lines = [*before, b"Host: a", b"Cookie: " + cookie, *behind, b"", b""]
        return b"GET / HTTP/%b\r\n%b" % (version, b"\r\n".join(lines))

    parsing = parser(head=250)
    try:
        last = parsing.parse(asking(one))
    except Refused:
        return
    data = asking(other, version)
    alone = outcome(parser(head=250), data, None)
    assert outcome(parsing, data, last) == alone
    assert outcome(parsing, data, last) == alone


def test_hop_by_hop() -> None:
    """Fields of one connection, or named by Connection, are not passed on."""
    head = asked(
        b"A: b",
        b"Connection: close, X-Private, x-missing",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"x-PRIVATE: c",
        b"TE: gzip",
        b"Upgrade: websocket",
        b"Proxy: http://evil/",
        b"Content_Length: 5",
        b"Transfer.Encoding: chunked",
        b"D: e",
    )
    assert passed(head) == [b"A: b", b"D: e"]
    assert not head.fields.upgrade


def test_upgrade() -> None:
    """The offer of another protocol is passed on, newly written (RFC 9110, 7.8)."""
    offer = [b"connection: keep-alive, upgrade", b"upgrade: websocket,", b"A: b"]
    head = asked(*offer)
    assert head.fields.upgrade == b"websocket"
    assert passed(head) == [b"A: b", b"Connection: Upgrade", b"Upgrade: websocket"]
    # The usual line is not doubled.
    head = asked(b"Connection: keep-alive", *offer)
    assert passed(head) == [b"A: b", b"Connection: Upgrade", b"Upgrade: websocket"]


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        (b"1.0", [b"Connection: upgrade", b"Upgrade: websocket"]),
        (b"1.1", [b"Connection: upgrade"]),
        (b"1.1", [b"Upgrade: websocket"]),
        (b"1.1", [b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMA"]),
        (b"1.1", [b"Connection: upgrade, HTTP2-Settings", b"Upgrade: websocket, H2C"]),
    ],
)
def test_no_upgrade(version: bytes, lines: list[bytes]) -> None:
    """An offer against the rules, or of HTTP/2 in clear text, is not passed on."""
    head = asked(*lines, version=version)
    assert not head.fields.upgrade
    assert passed(head) == []


def test_no_upgrade_with_body() -> None:
    """A request with a body is not upgraded."""
    head = asked(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 3")
    assert not head.fields.upgrade
    assert passed(head) == [b"Content-Length: 3"]


def test_trailers_welcome() -> None:
    """Whether the client takes trailers is passed on; no other transfer coding is."""
    head = asked(b"TE: trailers, deflate;q=0.5", b"Connection: TE")
    assert passed(head) == [b"Connection: TE", b"TE: trailers"]
    assert passed(asked(b"TE: deflate", b"Connection: TE")) == []


def test_expect() -> None:
    """Expect is passed on, but HTTP/1.0 has none (RFC 9110, 10.1.1)."""
    line = b"Expect: 100-Continue"
    head = asked(line, b"Content-Length: 3")
    assert head.fields.expects_continue
    assert passed(head) == [line, b"Content-Length: 3"]
    head = asked(line, version=b"1.0")
    assert not head.fields.expects_continue
    assert passed(head) == []
    head = asked(line, b"Connection: expect")
    assert not head.fields.expects_continue
    assert passed(head) == []


def test_forwarded() -> None:
    """Fields of trusted proxies only are noted, and not passed on as they are."""
    parsing = RequestParser(request_fields([b"x-request-id"]), Limits())
    lines = [
        b"X-Forwarded-For: 192.0.2.1",
        b"x-forwarded-anything: 1",
        b"X_Forwarded_For: 192.0.2.2",
        b"Forwarded: for=192.0.2.1",
        b"X-Real-IP: 192.0.2.1",
        b"X-Request-ID: 7",
        b"X_Real-IP: 192.0.2.2",
    ]
    head = parsing.parse(
        b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""])
    )
    assert head is not None
    assert passed(head) == []
    assert head.fields.forwarded == (
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-anything", b"1"),
        (b"forwarded", b"for=192.0.2.1"),
        (b"x-real-ip", b"192.0.2.1"),
        (b"x-request-id", b"7"),
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET http://a/" + b"a" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 90, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 100, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", 431),
    ],
)
def test_limits(data: bytes, status: int) -> None:
    """Limits are the operator's."""
    with pytest.raises(Refused) as caught:
        parser(head=100, target=20, fields=2).parse(data)
    assert caught.value.status == status


TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUES = st.text(
    st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30
).map(lambda text: text.encode("latin-1").strip())
TARGETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")
).map(lambda text: b"/" + text.encode())


@given(TOKENS, TARGETS, st.lists(st.tuples(TOKENS, VALUES), max_size=8))
def test_round_trip(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    """Any valid request is understood, and passed on as it was, cut wherever it is."""
    lines = [b"X-%b: %b" % each for each in fields]
    data = b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: a", *lines])
    data += b"\r\n\r\n"
    parsing = parser()
    for end in range(len(data)):
        assert parsing.parse(data[:end]) is None
    head = parsing.parse(data)
    assert head is not None
    assert (head.method, head.target) == (method, target)
    assert head.line + head.fields.lines + b"\r\n" == data
