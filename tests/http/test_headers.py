"""What upstreams learn of a client."""

import pytest

from lbconsul.http.fields import Fields
from lbconsul.http.head import Limits
from lbconsul.http.headers import ClientHeaders, ForwardingOptions
from lbconsul.http.request import RequestParser, request_fields

PROXIES = {"10.0.0.1", "10.0.0.2", "2001:db8::1"}


def fields(
    *lines: bytes, version: bytes = b"1.1", host: bytes = b"Host: a:1"
) -> Fields:
    """The fields of a request with these lines."""
    parser = RequestParser(request_fields([b"x-request-id"]), Limits())
    head = parser.parse(
        b"\r\n".join(filter(None, [b"GET / HTTP/" + version, host, *lines]))
        + b"\r\n\r\n"
    )
    assert head is not None
    return head.fields


def client(
    address: str, *, forwarded: bool = False, via: str = "", scheme: str = "http"
) -> ClientHeaders:
    """The headers of a client at this address, which came to port 80."""
    options = ForwardingOptions(PROXIES.__contains__, forwarded, via)
    return ClientHeaders(options, address, scheme, 80)


def lines(client: ClientHeaders, fields: Fields) -> dict[str, str]:
    """The added lines."""
    text = client.lines(fields).decode()
    assert text.endswith("\r\n")
    pairs = [line.split(": ", 1) for line in text.removesuffix("\r\n").split("\r\n")]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


PLAIN = {
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "80",
    "X-Forwarded-For": "192.0.2.1",
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-Host": "a:1",
}

SPOOFED = fields(
    b"X-Forwarded-For: 10.0.0.1",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Prefix: /evil",
    b"X-Real-IP: 10.0.0.1",
    b"Forwarded: for=10.0.0.1",
    b"X-Request-ID: evil",
)


def test_of_a_client() -> None:
    """A client's address, and what it asked for, are told; its own claims are not."""
    direct = client("192.0.2.1")
    assert lines(direct, fields()) == PLAIN
    assert lines(direct, SPOOFED) == PLAIN
    assert direct.client(SPOOFED) == "192.0.2.1"
    assert direct.scheme(SPOOFED) == "http"


def test_without_host() -> None:
    """HTTP/1.0 may come without a Host, and a UNIX socket has no address."""
    old = fields(version=b"1.0", host=b"")
    without = {k: v for k, v in PLAIN.items() if k != "X-Forwarded-Host"}
    assert lines(client("192.0.2.1"), old) == without
    assert lines(client(""), fields()) == {
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": "80",
        "X-Forwarded-Host": "a:1",
    }


def test_of_a_proxy() -> None:
    """A trusted proxy is believed, and its own address is appended."""
    proxy = client("10.0.0.1")
    told = fields(
        b"X-Forwarded-For: 10.9.9.9, 192.0.2.7",
        b"X-Forwarded-For: 10.0.0.2",
        b"X-Forwarded-Proto: HTTPS",
        b"X-Forwarded-Host: www.example.com",
        b"X-Forwarded-Prefix: /api",
        b"X-Real-IP: 10.9.9.9",
        b"X-Request-ID: 7",
        b"Forwarded: for=192.0.2.7",
    )
    assert lines(proxy, told) == {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Forwarded-For": "10.9.9.9, 192.0.2.7, 10.0.0.2, 10.0.0.1",
        "X-Real-IP": "192.0.2.7",
        "X-Forwarded-Host": "www.example.com",
        "x-forwarded-prefix": "/api",
        "x-request-id": "7",
        "forwarded": "for=192.0.2.7",
    }
    assert proxy.client(told) == "192.0.2.7"
    assert proxy.scheme(told) == "https"


def test_of_a_silent_proxy() -> None:
    """A trusted proxy that says nothing is the client, and nonsense is not repeated."""
    proxy = client("10.0.0.1")
    silent = lines(proxy, fields())
    assert silent["X-Forwarded-For"] == silent["X-Real-IP"] == "10.0.0.1"
    odd = fields(
        b"X-Forwarded-For:",
        b"X-Forwarded-Proto: wss",
        b"X-Forwarded-Host: a/b",
        b"X-Forwarded-Port: 65536",
    )
    assert lines(proxy, odd) == silent
    assert proxy.scheme(odd) == "http"
    old = fields(b"X-Forwarded-Port: 8443", version=b"1.0", host=b"")
    assert lines(proxy, old)["X-Forwarded-Port"] == "8443"
    assert "X-Forwarded-Host" not in lines(proxy, old)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([b"192.0.2.1"], "192.0.2.1"),
        ([b"192.0.2.1, 192.0.2.2"], "192.0.2.2"),
        ([b"192.0.2.1", b"10.0.0.2"], "192.0.2.1"),
        ([b"192.0.2.1:4711"], "192.0.2.1"),
        ([b"2001:DB8::2"], "2001:db8::2"),
        ([b"[2001:db8::2]:4711, 2001:db8::1"], "2001:db8::2"),
        ([b"192.0.2.1, unknown"], "10.0.0.1"),
        ([b"192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ([b"10.0.0.2"], "10.0.0.2"),
        ([b"192.0.2.1" + b", 10.0.0.2" * 40], "10.0.0.2"),
    ],
)
def test_client(told: list[bytes], found: str) -> None:
    """The client is the first hop from the right that is not trusted."""
    names = [b"X-Forwarded-For: " + each for each in told]
    assert client("10.0.0.1").client(fields(*names)) == found


def test_proxy_on_a_unix_socket() -> None:
    """A trusted proxy may have no address."""
    options = ForwardingOptions(lambda address: not address)
    proxy = ClientHeaders(options, "", "http", 80)
    told = lines(proxy, fields(b"X-Forwarded-For: 192.0.2.1"))
    assert told["X-Forwarded-For"] == told["X-Real-IP"] == "192.0.2.1"


def test_forwarded() -> None:
    """RFC 7239 is spoken where it is wanted."""
    value = lines(client("192.0.2.1", forwarded=True), SPOOFED)["Forwarded"]
    assert value == 'for=192.0.2.1;host="a:1";proto=http'
    told = fields(b"Forwarded: for=192.0.2.7", b"Forwarded: for=10.0.0.2")
    proxy = client("2001:db8::1", forwarded=True, scheme="https")
    assert lines(proxy, told)["Forwarded"] == (
        'for=192.0.2.7, for=10.0.0.2, for="[2001:db8::1]";host="a:1";proto=https'
    )
    old = fields(version=b"1.0", host=b"")
    assert (
        lines(client("", forwarded=True), old)["Forwarded"] == "for=unknown;proto=http"
    )


def test_forwarded_behind_a_proxy_without_it() -> None:
    """A client that a trusted proxy names in X-Forwarded-For alone is named as well.

    A Forwarded beside it is not believed: it may be the client's own.
    """
    proxy = client("10.0.0.1", forwarded=True)
    told = fields(
        b"X-Forwarded-For: 192.0.2.7:4711, , who",
        b"X-Forwarded-For: 2001:db8::7",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: www.example.com",
        b"Forwarded: for=evil",
    )
    assert lines(proxy, told)["Forwarded"] == (
        'for=192.0.2.7, for=unknown, for="[2001:db8::7]";host="www.example.com"'
        ';proto=https, for=10.0.0.1;host="a:1";proto=http'
    )
    plain = fields(b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Host: a/b")
    assert lines(proxy, plain)["Forwarded"] == (
        'for=192.0.2.7, for=10.0.0.1;host="a:1";proto=http'
    )
    many = lines(proxy, fields(b"X-Forwarded-For: " + b"192.0.2.7," * 99))
    assert many["Forwarded"].count("for=192.0.2.7") < 40


def test_via() -> None:
    """Via names the version that the message came with (RFC 9110, 7.6.3)."""
    named = client("192.0.2.1", via="lbconsul")
    assert lines(named, fields())["Via"] == "1.1 lbconsul"
    assert lines(named, fields(version=b"1.0"))["Via"] == "1.0 lbconsul"
