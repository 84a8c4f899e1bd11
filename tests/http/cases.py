"""Requests and responses that two servers could understand differently, and verdicts.

Section numbers are those of RFC 9112, or of RFC 9110 where they begin with "9110".
"""

from attrs import frozen


@frozen
class Case:
    """One input: what arrives, and what must happen."""

    #: What is odd about it.
    name: str
    raw: bytes
    #: The status of the refusal; None if it is accepted; 0 if it never ends.
    verdict: int | None
    #: Where the rule is from.
    rule: str


def _heads() -> list[Case]:
    """Requests with an odd request line."""
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("plain", b"GET / HTTP/1.1", None, "3"),
        ("query", b"GET /?a=b&c#".rstrip(b"#") + b" HTTP/1.1", None, "3.2.1"),
        ("two slashes", b"GET //x HTTP/1.1", None, "3.2.1"),
        ("printable, not allowed in URIs", b'GET /<">{}|\\^` HTTP/1.1', None, "3.2.1"),
        ("percent and NUL", b"GET /%00 HTTP/1.1", None, "3.2.1: for the router"),
        ("unknown method", b"BREW / HTTP/1.1", None, "9110, 9.1"),
        ("any token is a method", b"!#$%&'*+-.^_`|~1a / HTTP/1.1", None, "9110, 9.1"),
        ("small letters, unknown", b"brew / HTTP/1.1", None, "9110, 9.1"),
        ("small letters", b"get / HTTP/1.1", 400, "9110, 9.1: case-sensitive"),
        ("HEAD in small letters", b"head / HTTP/1.1", 400, "9110, 9.1"),
        ("Connect", b"Connect / HTTP/1.1", 400, "9110, 9.1"),
        ("method with a NUL", b"GE\0T / HTTP/1.1", 400, "3.1"),
        ("method with a colon", b"GET: / HTTP/1.1", 400, "3.1"),
        ("method with 0xff", b"GET\xff / HTTP/1.1", 400, "3.1"),
        ("method in quotes", b'"GET" / HTTP/1.1', 400, "3.1"),
        ("no method", b" / HTTP/1.1", 400, "3"),
        ("blank first", b" GET / HTTP/1.1", 400, "2.2"),
        ("tab first", b"\tGET / HTTP/1.1", 400, "2.2"),
        ("two blanks after the method", b"GET  / HTTP/1.1", 400, "3"),
        ("two blanks before the version", b"GET /  HTTP/1.1", 400, "3"),
        ("tab after the method", b"GET\t/ HTTP/1.1", 400, "3"),
        ("tab before the version", b"GET /\tHTTP/1.1", 400, "3"),
        ("vertical tab", b"GET\x0b/ HTTP/1.1", 400, "3"),
        ("blank at the end", b"GET / HTTP/1.1 ", 400, "3"),
        ("four words", b"GET / x HTTP/1.1", 400, "3"),
        ("no target", b"GET HTTP/1.1", 400, "3"),
        ("empty target", b"GET  HTTP/1.1", 400, "3.2"),
        ("no version", b"GET /", 400, "3: no HTTP/0.9"),
        ("method alone", b"GET", 400, "3"),
        ("HTTP/0.9", b"GET / HTTP/0.9", 505, "9110, 2.5"),
        ("HTTP/1.2", b"GET / HTTP/1.2", 505, "9110, 2.5: 1.2 does not exist"),
        ("HTTP/2.0", b"GET / HTTP/2.0", 505, "9110, 2.5"),
        ("HTTP/3.0", b"GET / HTTP/3.0", 505, "9110, 2.5"),
        ("preface of HTTP/2", b"PRI * HTTP/2.0", 505, "9113, 3.4"),
        ("HTTP/1", b"GET / HTTP/1", 400, "2.3"),
        ("HTTP/1.", b"GET / HTTP/1.", 400, "2.3"),
        ("HTTP/01.1", b"GET / HTTP/01.1", 400, "2.3"),
        ("HTTP/1.01", b"GET / HTTP/1.01", 400, "2.3"),
        ("HTTP/11", b"GET / HTTP/11", 400, "2.3"),
        ("HTTP/+1.1", b"GET / HTTP/+1.1", 400, "2.3"),
        ("http/1.1", b"GET / http/1.1", 400, "2.3: case-sensitive"),
        ("HTTP 1.1", b"GET / HTTP 1.1", 400, "2.3"),
        ("RTSP", b"OPTIONS * RTSP/1.0", 400, "2.3"),
        ("ICE", b"SOURCE / ICE/1.0", 400, "2.3"),
        ("fragment", b"GET /#a HTTP/1.1", 400, "3.2: no fragment"),
        ("fragment in the query", b"GET /?a#b HTTP/1.1", 400, "3.2: no fragment"),
        ("raw UTF-8", b"GET /\xc3\xa9 HTTP/1.1", 400, "3.2: ASCII"),
        ("raw UTF-8 in the query", b"GET /?\xc3\xa9 HTTP/1.1", 400, "3.2: ASCII"),
        ("DEL", b"GET /\x7f HTTP/1.1", 400, "3.2"),
        ("NUL", b"GET /\0 HTTP/1.1", 400, "3.2"),
        ("CR", b"GET /\rx HTTP/1.1", 400, "2.2: a bare CR"),
        ("relative", b"GET x HTTP/1.1", 400, "3.2"),
        ("query alone", b"GET ?x HTTP/1.1", 400, "3.2"),
        ("backslash first", b"GET \\ HTTP/1.1", 400, "3.2"),
        ("authority", b"GET a:80 HTTP/1.1", 400, "3.2.3: for CONNECT alone"),
        ("CONNECT", b"CONNECT a:80 HTTP/1.1", 501, "3.2.3"),
        ("CONNECT /", b"CONNECT / HTTP/1.1", 501, "3.2.3"),
        ("CONNECT http", b"CONNECT http://a/ HTTP/1.1", 501, "3.2.3"),
        ("asterisk", b"OPTIONS * HTTP/1.1", None, "3.2.4"),
        ("GET *", b"GET * HTTP/1.1", 400, "3.2.4: for OPTIONS alone"),
        ("asterisk and more", b"OPTIONS *x HTTP/1.1", 400, "3.2.4"),
        ("absolute", b"GET http://a/x HTTP/1.1", None, "3.2.2"),
        ("absolute, https", b"GET https://a/x HTTP/1.1", None, "3.2.2"),
        ("absolute, other letters", b"GET HTTP://A/x HTTP/1.1", None, "3.2.2"),
        ("absolute, no path", b"GET http://a HTTP/1.1", None, "3.2.2"),
        ("absolute, other host", b"GET http://b/ HTTP/1.1", 400, "3.2.2: two hosts"),
        ("absolute, other port", b"GET http://a:81/ HTTP/1.1", 400, "3.2.2"),
        ("absolute, user", b"GET http://u@a/ HTTP/1.1", 400, "9110, 4.2.4"),
        ("absolute, no host", b"GET http:/// HTTP/1.1", 400, "9110, 4.2.1"),
        ("absolute, no slashes", b"GET http:a HTTP/1.1", 400, "3.2.2"),
        ("absolute, fragment", b"GET http://a/#b HTTP/1.1", 400, "3.2"),
        ("absolute, backslash", b"GET http://a\\@b/ HTTP/1.1", 400, "3.2.2"),
        ("absolute, other scheme", b"GET ftp://a/ HTTP/1.1", 400, "3.2.2"),
        ("absolute, unknown in small letters", b"get http://a/ HTTP/1.1", 400, "9.1"),
    ]
    return [
        Case(name, line + b"\r\nHost: a\r\n\r\n", verdict, rule)
        for name, line, verdict, rule in odd
    ]


def _fields() -> list[Case]:
    """GET with odd fields."""
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("no fields", b"", 400, "3.2: no Host"),
        ("no Host", b"A: b\r\n", 400, "3.2"),
        ("two Hosts", b"Host: a\r\nHost: b\r\n", 400, "3.2"),
        ("the same Host twice", b"Host: a\r\nHost: a\r\n", 400, "3.2"),
        ("Host and HOST", b"Host: a\r\nHOST: a\r\n", 400, "3.2"),
        ("empty Host", b"Host:\r\n", 400, "9110, 4.2.1: an empty host"),
        ("blank Host", b"Host:  \r\n", 400, "9110, 4.2.1"),
        ("Host with a blank", b"Host: a b\r\n", 400, "3.2"),
        ("Host with a tab", b"Host: a\tb\r\n", 400, "3.2"),
        ("Host with a slash", b"Host: a/b\r\n", 400, "3.2"),
        ("Host with a comma", b"Host: a,b\r\n", 400, "3.2: a list"),
        ("Host with a user", b"Host: u@a\r\n", 400, "3.2: without userinfo"),
        ("Host with a query", b"Host: a?b\r\n", 400, "3.2"),
        ("Host with a fragment", b"Host: a#b\r\n", 400, "3.2"),
        ("Host with a backslash", b"Host: a\\b\r\n", 400, "3.2"),
        ("Host with %", b"Host: a%2eb\r\n", 400, "strict: no name has it"),
        ("Host with 0xff", b"Host: a\xff\r\n", 400, "3.2: ASCII"),
        ("Host with two dots", b"Host: a..b\r\n", 400, "RFC 1035, 2.3.1"),
        ("Host of a dot", b"Host: .\r\n", 400, "RFC 1035, 2.3.1"),
        ("Host with an empty port", b"Host: a:\r\n", 400, "strict: RFC 3986, 3.2.3"),
        ("Host with port 65536", b"Host: a:65536\r\n", 400, "3.2"),
        ("Host with a port of letters", b"Host: a:b\r\n", 400, "3.2"),
        ("Host with two ports", b"Host: a:80:80\r\n", 400, "3.2"),
        ("Host with a signed port", b"Host: a:+80\r\n", 400, "3.2"),
        ("IPv6 without brackets", b"Host: ::1\r\n", 400, "RFC 3986, 3.2.2"),
        ("no IPv6 in brackets", b"Host: [a]\r\n", 400, "RFC 3986, 3.2.2"),
        ("IPvFuture", b"Host: [v1.a]\r\n", 400, "RFC 3986, 3.2.2: none exists"),
        ("IPv6 with a zone", b"Host: [fe80::1%25eth0]\r\n", 400, "RFC 6874, 1"),
        ("IPv6 with a port", b"Host: [::1]:80\r\n", None, "RFC 3986, 3.2.2"),
        ("final dot", b"Host: a.\r\n", None, "RFC 3986, 3.2.2"),
        ("blanks around", b"Host: \t a \t\r\n", None, "5: OWS"),
        ("no blank", b"Host:a\r\n", None, "5: OWS"),
        ("empty value", b"Host: a\r\nA:\r\n", None, "9110, 5.5"),
        ("obs-text", b"Host: a\r\nA: \xff\x80\r\n", None, "9110, 5.5"),
        ("blank before the colon", b"Host: a\r\nA : b\r\n", 400, "5.1"),
        ("tab before the colon", b"Host: a\r\nA\t: b\r\n", 400, "5.1"),
        ("no colon", b"Host: a\r\nA\r\n", 400, "5"),
        ("no name", b"Host: a\r\n: b\r\n", 400, "5.1"),
        ("name with a blank", b"Host: a\r\nA b: c\r\n", 400, "9110, 5.1"),
        ("name with a slash", b"Host: a\r\nA/b: c\r\n", 400, "9110, 5.1"),
        ("name with 0xff", b"Host: a\r\nA\xff: c\r\n", 400, "9110, 5.1"),
        ("name with a NUL", b"Host: a\r\nA\0: c\r\n", 400, "9110, 5.1"),
        ("folded", b"Host: a\r\nA: b\r\n c\r\n", 400, "5.2: obs-fold"),
        ("folded by a tab", b"Host: a\r\nA: b\r\n\tc\r\n", 400, "5.2"),
        ("first line folded", b" Host: a\r\n", 400, "2.2"),
        ("folded, empty", b"Host: a\r\n \r\n", 400, "5.2"),
        ("LF in a value", b"Host: a\r\nA: b\nC: d\r\n", 400, "2.2: strict"),
        ("LF ends Host", b"Host: a\nA: b\r\n", 400, "2.2"),
        ("CR in a value", b"Host: a\r\nA: b\rC: d\r\n", 400, "2.2: a bare CR"),
        ("two CRs", b"Host: a\r\r\n", 400, "2.2"),
        ("NUL in a value", b"Host: a\r\nA: b\0c\r\n", 400, "9110, 5.5"),
        ("control in a value", b"Host: a\r\nA: b\x01c\r\n", 400, "9110, 5.5"),
        ("DEL in a value", b"Host: a\r\nA: b\x7fc\r\n", 400, "9110, 5.5"),
        ("NUL in a Cookie", b"Host: a\r\nCookie: b\0\r\n", 400, "9110, 5.5"),
        ("Connection: Host", b"Host: a\r\nConnection: Host\r\n", 400, "9110, 7.6.1"),
        (
            "Connection: close, Content-Length",
            b"Host: a\r\nConnection: close, Content-Length\r\n",
            400,
            "9110, 7.6.1",
        ),
        (
            "Connection: transfer-encoding",
            b"Host: a\r\nConnection: transfer-encoding\r\n",
            400,
            "9110, 7.6.1",
        ),
        ("Connection: a b", b"Host: a\r\nConnection: a b\r\n", 400, "9110, 7.6.1"),
        ("Connection: ,close,", b"Host: a\r\nConnection: ,close,\r\n", None, "5.6.1"),
        ("empty Connection", b"Host: a\r\nConnection:\r\n", None, "9110, 5.6.1"),
        ("names X-Real-IP", b"Host: a\r\nConnection: X-Real-IP\r\n", None, "7.6.1"),
        ("Expect: 200-ok", b"Host: a\r\nExpect: 200-ok\r\n", 417, "9110, 10.1.1"),
        ("two Upgrades", b"Host: a\r\nUpgrade: a\r\nUpgrade: b\r\n", 400, "strict"),
    ]
    return [
        Case(name, b"GET / HTTP/1.1\r\n" + fields + b"\r\n", verdict, rule)
        for name, fields, verdict, rule in odd
    ]


def _framing() -> list[Case]:
    """POST with an odd Content-Length or Transfer-Encoding."""
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("length", b"Content-Length: 3\r\n\r\nabc", None, "6.2"),
        ("length 0", b"Content-Length: 0\r\n\r\n", None, "6.2"),
        ("leading zeros", b"Content-Length: 003\r\n\r\nabc", None, "9110, 8.6"),
        ("cut", b"Content-Length: 4\r\n\r\nabc", 0, "8"),
        ("empty length", b"Content-Length:\r\n\r\n", 400, "9110, 8.6"),
        ("+3", b"Content-Length: +3\r\n\r\nabc", 400, "9110, 8.6"),
        ("-3", b"Content-Length: -3\r\n\r\nabc", 400, "9110, 8.6"),
        ("3.0", b"Content-Length: 3.0\r\n\r\nabc", 400, "9110, 8.6"),
        ("0x3", b"Content-Length: 0x3\r\n\r\nabc", 400, "9110, 8.6"),
        ("1_0", b"Content-Length: 1_0\r\n\r\n0123456789", 400, "9110, 8.6"),
        ("3 0", b"Content-Length: 3 0\r\n\r\nabc", 400, "9110, 8.6"),
        ("quoted", b'Content-Length: "3"\r\n\r\nabc', 400, "9110, 8.6"),
        (
            "digits of another script",
            b"Content-Length: \xd9\xa3\r\n\r\nabc",
            400,
            "8.6",
        ),
        ("19 digits", b"Content-Length: 1000000000000000000\r\n\r\n", 400, "strict"),
        ("2**64 + 3", b"Content-Length: 18446744073709551619\r\n\r\nabc", 400, "8.6"),
        ("3, 3", b"Content-Length: 3, 3\r\n\r\nabc", 400, "6.3: strict"),
        ("3, 4", b"Content-Length: 3, 4\r\n\r\nabc", 400, "6.3"),
        ("3,", b"Content-Length: 3,\r\n\r\nabc", 400, "6.3"),
        ("twice", b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "6.3"),
        ("two", b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, "6.3"),
        ("3 and 03", b"Content-Length: 3\r\ncontent-length: 03\r\n\r\nabc", 400, "6.3"),
        ("folded length", b"Content-Length:\r\n 3\r\n\r\nabc", 400, "5.2"),
        ("length with a blank", b"Content-Length : 3\r\n\r\nabc", 400, "5.1"),
        ("length after a CR", b"A: b\rContent-Length: 3\r\n\r\n", 400, "2.2"),
        ("Content_Length", b"Content_Length: 3\r\n\r\n", None, "CGI: dropped"),
        ("chunked", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None, "7.1"),
        ("CHUNKED", b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", None, "7"),
        (
            "both",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "6.3",
        ),
        (
            "both, the other way round",
            b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
            400,
            "6.3",
        ),
        (
            "chunked twice",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "7.1",
        ),
        (
            "chunked, chunked",
            b"Transfer-Encoding: chunked, chunked\r\n\r\n",
            400,
            "7.1",
        ),
        (", chunked", b"Transfer-Encoding: , chunked\r\n\r\n", 400, "7: strict"),
        ("chunked,", b"Transfer-Encoding: chunked,\r\n\r\n", 400, "7: strict"),
        ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "6.1"),
        (
            "gzip and chunked",
            b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "6.1: refused by its first line",
        ),
        ("chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400, "6.3"),
        ("gzip", b"Transfer-Encoding: gzip\r\n\r\n", 400, "6.3"),
        ("identity", b"Transfer-Encoding: identity\r\n\r\n", 400, "7: is gone"),
        ("xchunked", b"Transfer-Encoding: xchunked\r\n\r\n", 400, "6.3"),
        ("chunked x", b"Transfer-Encoding: chunked x\r\n\r\n", 400, "7"),
        ('"chunked"', b'Transfer-Encoding: "chunked"\r\n\r\n', 400, "7"),
        ("chunked;q=1", b"Transfer-Encoding: chunked;q=1\r\n\r\n", 400, "7.1"),
        ("VT chunked", b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400, "9110, 5.5"),
        ("0xa0 chunked", b"Transfer-Encoding: \xa0chunked\r\n\r\n", 400, "7"),
        ("empty coding", b"Transfer-Encoding:\r\n\r\n", 400, "7"),
        ("coding with a blank", b"Transfer-Encoding : chunked\r\n\r\n", 400, "5.1"),
        ("folded coding", b"Transfer-Encoding:\r\n chunked\r\n\r\n", 400, "5.2"),
        ("Transfer_Encoding", b"Transfer_Encoding: chunked\r\n\r\n", None, "CGI"),
    ]
    return [
        Case(name, b"POST / HTTP/1.1\r\nHost: a\r\n" + rest, verdict, rule)
        for name, rest, verdict, rule in odd
    ]


def _chunks() -> list[Case]:
    """Odd chunked bodies."""
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("one chunk", b"3\r\nabc\r\n0\r\n\r\n", None, "7.1"),
        ("letters", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", None, "7.1"),
        ("zeros before a size", b"003\r\nabc\r\n000\r\n\r\n", None, "7.1"),
        ("15 digits", b"000000000000003\r\nabc\r\n0\r\n\r\n", None, "7.1"),
        ("16 digits", b"0000000000000003\r\nabc\r\n0\r\n\r\n", 400, "7.1: overflow"),
        ("2**64 + 3", b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400, "7.1: overflow"),
        ("no size", b"\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("0x3", b"0x3\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("+3", b"+3\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("-1", b"-1\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("3_0", b"3_0\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("g", b"g\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("blank before a size", b" 3\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("blank behind a size", b"3 \r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("tab behind a size", b"3\t\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("size ends with LF", b"3\nabc\r\n0\r\n\r\n", 400, "2.2"),
        ("size ends with CR", b"3\rabc\r\n0\r\n\r\n", 400, "2.2"),
        ("size ends with CR CR LF", b"3\r\r\nabc\r\n0\r\n\r\n", 400, "2.2"),
        ("data ends with LF", b"3\r\nabc\n0\r\n\r\n", 400, "7.1"),
        ("data ends with nothing", b"3\r\nabc0\r\n\r\n", 400, "7.1"),
        ("data is too long", b"3\r\nabcd\r\n0\r\n\r\n", 400, "7.1"),
        ("data is too short", b"4\r\nabc\r\n0\r\n\r\n", 400, "7.1"),
        ("end with LF", b"0\n\r\n", 400, "7.1"),
        ("empty line with LF", b"0\r\n\n", 400, "2.2"),
        ("no last chunk", b"3\r\nabc\r\n", 0, "7.1"),
        ("no empty line", b"0\r\n", 0, "7.1"),
        ("extension", b"3;a\r\nabc\r\n0\r\n\r\n", None, "7.1.1"),
        ("extension with a value", b"3;a=b\r\nabc\r\n0;c=d\r\n\r\n", None, "7.1.1"),
        ("quoted value", b'3;a="b;\\"c"\r\nabc\r\n0\r\n\r\n', None, "7.1.1"),
        ("blanks in an extension", b"3 ; a = b\r\nabc\r\n0\r\n\r\n", None, "7.1.1"),
        ("extension without a name", b"3;\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("value without a name", b"3;=b\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("quote not closed", b'3;a="b\r\nabc\r\n0\r\n\r\n', 400, "7.1.1"),
        ("text behind a quote", b'3;a="b"c\r\nabc\r\n0\r\n\r\n', 400, "7.1.1"),
        ("LF in an extension", b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("LF in a quoted value", b'3;a="\nb"\r\nabc\r\n0\r\n\r\n', 400, "7.1.1"),
        ("CR in an extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("NUL in an extension", b"3;a\0\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("long extension", b"3;" + b"a" * 1024 + b"\r\nabc\r\n0\r\n\r\n", 400, "7.1.1"),
        ("trailer", b"0\r\nA: b\r\n\r\n", None, "7.1.2"),
        ("trailer Content-Length", b"0\r\nContent-Length: 3\r\n\r\n", 400, "7.1.2"),
        ("trailer content_length", b"0\r\ncontent_length: 3\r\n\r\n", 400, "7.1.2"),
        ("trailer Host", b"0\r\nHost: b\r\n\r\n", 400, "9110, 6.5.1"),
        (
            "trailer Transfer-Encoding",
            b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "9110, 6.5.1",
        ),
        ("trailer with LF", b"0\r\nA: b\n\r\n\r\n", 400, "2.2"),
        ("LF ends the trailers", b"0\r\nA: b\r\n\n", 400, "2.2"),
        ("trailer with CR", b"0\r\nA: b\rc\r\n\r\n", 400, "2.2"),
        ("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", 400, "5.2"),
        ("trailer without a colon", b"0\r\nA\r\n\r\n", 400, "7.1.2"),
        ("trailer with a blank", b"0\r\nA : b\r\n\r\n", 400, "5.1"),
        ("trailer with a NUL", b"0\r\nA: \0\r\n\r\n", 400, "9110, 5.5"),
        ("long trailers", b"0\r\nA: " + b"b" * 8192 + b"\r\n\r\n", 400, "7.1.2"),
    ]
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [Case(name, head + body, verdict, rule) for name, body, verdict, rule in odd]


def _others() -> list[Case]:
    """What concerns several lines, or several requests."""
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    long = b"a" * 8192
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("pipelined", get * 3, None, "9.3.2"),
        ("empty line before", b"\r\n" + get, None, "2.2"),
        ("empty lines between", b"\r\n".join([get] * 3), None, "2.2"),
        ("two empty lines before", b"\r\n\r\n" + get, 400, "2.2: at least one"),
        ("LF before", b"\n" + get, 400, "2.2"),
        ("CR before", b"\r" + get, 400, "2.2"),
        ("NUL before", b"\0" + get, 400, "3"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "3"),
        ("PROXY", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + get, 400, "3"),
        ("LF everywhere", get.replace(b"\r\n", b"\n"), 400, "2.2"),
        ("LF at the end", get[:-2] + b"\n", 400, "2.2"),
        ("CR at the end", get[:-2] + b"\r", 0, "2.2"),
        ("nothing", b"", 0, "3"),
        ("cut line", b"GET / HT", 0, "3"),
        ("cut fields", get[:-4], 0, "3"),
        ("body without length", get + b"abc\r\n\r\n", 400, "6.3: the next request"),
        ("long target", b"GET /" + long + b" HTTP/1.1\r\n", 414, "3"),
        ("long target, cut", b"GET /" + long + b"a" * 64, 414, "3"),
        ("long method", b"A" * 9000 + b" / HTTP/1.1\r\n\r\n", 414, "3"),
        ("long field", get[:-2] + b"A: " + long * 4 + b"\r\n\r\n", 431, "5.4"),
        ("long fields, cut", get[:-2] + b"A: " + long * 4, 431, "5.4"),
        ("101 fields", get[:-2] + b"A: b\r\n" * 100 + b"\r\n", 431, "5.4"),
        ("100 fields", get[:-2] + b"A: b\r\n" * 99 + b"\r\n", None, "5.4"),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", None, "9110, 2.5"),
        (
            "HTTP/1.0, two Hosts",
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "",
        ),
        ("HTTP/1.0, absolute", b"GET http://a/ HTTP/1.0\r\n\r\n", 400, "strict"),
        (
            "HTTP/1.0, chunked",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "6.1",
        ),
    ]
    return [Case(*each) for each in odd]


REQUESTS = [*_heads(), *_fields(), *_framing(), *_chunks(), *_others()]


def _responses() -> list[Case]:
    odd: list[tuple[str, bytes, int | None, str]] = [
        ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", None, "6.2"),
        ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", None, "4"),
        ("no blank", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", None, "4: common"),
        (
            "reason in UTF-8",
            b"HTTP/1.1 200 \xc3\xa9\r\nContent-Length: 0\r\n\r\n",
            None,
            "4",
        ),
        ("status 999", b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", None, "15"),
        ("status 099", b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", 502, "15"),
        ("status 20", b"HTTP/1.1 20 OK\r\n\r\n", 502, "4"),
        ("status 2000", b"HTTP/1.1 2000 OK\r\n\r\n", 502, "4"),
        ("status 2x0", b"HTTP/1.1 2x0 OK\r\n\r\n", 502, "4"),
        ("two blanks", b"HTTP/1.1  200 OK\r\n\r\n", 502, "4"),
        ("tab", b"HTTP/1.1\t200 OK\r\n\r\n", 502, "4"),
        ("tab behind the status", b"HTTP/1.1 200\tOK\r\n\r\n", 502, "4"),
        ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n", 502, "4"),
        ("CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", 502, "2.2"),
        ("LF ends the line", b"HTTP/1.1 200 OK\nA: b\r\n\r\n", 502, "2.2"),
        ("HTTP/0.9", b"<html>", 502, "4"),
        ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n", 502, "9110, 2.5"),
        ("http/1.1", b"http/1.1 200 OK\r\n\r\n", 502, "2.3"),
        ("ICY", b"ICY 200 OK\r\n\r\n", 502, "4"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", 502, "4"),
        ("empty line before", b"\r\nHTTP/1.1 200 OK\r\n\r\n", 502, "2.2: for requests"),
        ("cut", b"HTTP/1.1 200 OK\r\nContent-Len", 0, "8"),
        ("cut line", b"HTTP/1.", 0, "8"),
        ("cut body", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 0, "8"),
        ("until the end", b"HTTP/1.1 200 OK\r\n\r\nabc", 0, "6.3"),
        ("long reason", b"HTTP/1.1 200 " + b"a" * 2000, 502, "4"),
        ("long field", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40000, 502, "5.4"),
        ("folded", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 502, "5.2"),
        ("blank before the colon", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", 502, "5.1"),
        ("LF in a field", b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", 502, "2.2"),
        ("NUL in a field", b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 502, "9110, 5.5"),
        (
            "length twice",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            502,
            "6.3: strict",
        ),
        ("3, 3", b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", 502, "6.3"),
        ("+3", b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", 502, "9110, 8.6"),
        ("no length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", 502, "9110, 8.6"),
        (
            "both",
            b"HTTP/1.1 200 A\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            None,
            "6.3: Content-Length is dropped, the connection is closed",
        ),
        (
            "gzip, chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            502,
            "6.1",
        ),
        (
            "identity",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            502,
            "7",
        ),
        (
            "chunked in HTTP/1.0",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            502,
            "6.1",
        ),
        (
            "Connection: Content-Length",
            b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\n\r\n",
            502,
            "9110, 7.6.1",
        ),
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n", None, "6.3"),
        (
            "204 with a length",
            b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
            None,
            "6.3",
        ),
        (
            "304 with a length",
            b"HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n",
            None,
            "6.3",
        ),
        (
            "304, chunked",
            b"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            None,
            "6.3",
        ),
        (
            "100 and 200",
            b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            None,
            "9110, 15.2",
        ),
        ("101 without Upgrade", b"HTTP/1.1 101 Yes\r\n\r\n", 502, "9110, 15.2.2"),
        (
            "101 without Connection",
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n",
            502,
            "9110, 7.8",
        ),
        (
            "bytes behind",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nabc",
            502,
            "9.2: not asked for",
        ),
    ]
    return [Case(*each) for each in odd]


RESPONSES = _responses()
