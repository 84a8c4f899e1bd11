"""ClientHellos: of real clients, and of clients that lie."""

import ssl
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.tls.client_hello import (
    MAX_HELLO,
    BadHello,
    ClientHello,
    NotTLS,
    parse,
)
from tests.support.loopback import accept, listening

EXAMPLE = ClientHello("api.example.com")


def _sized(value: bytes, width: int = 2) -> bytes:
    """The bytes behind their length, as TLS has them."""
    return len(value).to_bytes(width) + value


def _record(part: bytes, minor: int = 1, kind: int = 22) -> bytes:
    return bytes([kind, 3, minor]) + _sized(part)


def _message(body: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + _sized(body, 3)


def _body(
    *extensions: tuple[int, bytes],
    session_id: bytes = bytes(32),
    ciphers: bytes = b"\x13\x01",
    compressions: bytes = b"\0",
) -> bytes:
    """A hello's body; without extensions it is as of old clients."""
    body = b"\3\3" + bytes(32) + _sized(session_id, 1) + _sized(ciphers)
    body += _sized(compressions, 1)
    if extensions:
        body += _sized(b"".join(k.to_bytes(2) + _sized(v) for k, v in extensions))
    return body


def _hello(*extensions: tuple[int, bytes]) -> bytes:
    return _record(_message(_body(*extensions)))


def _host(name: bytes) -> tuple[int, bytes]:
    """The extension with this server name."""
    return 0, _sized(b"\0" + _sized(name))


def _alpn(*names: bytes) -> tuple[int, bytes]:
    return 16, _sized(b"".join(_sized(name, 1) for name in names))


def _of_python(
    name: str | None,
    alpn: Sequence[str] = (),
    change: Callable[[ssl.SSLContext], object] = lambda context: None,
) -> bytes:
    """What Python's client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    change(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


REAL = _of_python("api.example.com", ["h2", "http/1.1"])


def _no_tickets(context: ssl.SSLContext) -> None:
    context.options |= ssl.OP_NO_TICKET


def _no_tls13(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def _only_tls13(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def _one_cipher(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")


CHANGES = [_no_tickets, _no_tls13, _only_tls13, _one_cipher]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h2", "http/1.1")])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, None),
        ("API.Example.com", "api.example.com"),
        ("localhost", "localhost"),
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_python(
    name: str | None,
    expected: str | None,
    alpn: tuple[str, ...],
    change: Callable[[ssl.SSLContext], object],
) -> None:
    """Python's client is understood, whatever it is set to."""
    data = _of_python(name, alpn, change)
    assert parse(data) == ClientHello(expected)


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-servername api.example.com -alpn h2,http/1.1", EXAMPLE),
        ("-servername db.example.com. -tls1_2", ClientHello("db.example.com")),
        ("-noservername -tls1_3 -alpn h2", ClientHello()),
        ("-servername a.example -max_send_frag 512", ClientHello("a.example")),
        ("-noservername -tls1 -cipher ALL:@SECLEVEL=0", ClientHello()),
    ],
)
def test_openssl(options: str, expected: ClientHello) -> None:
    """OpenSSL's client is understood, by every beginning of what it sends."""
    with listening() as server:
        port = server.getsockname()[1]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
        client = subprocess.Popen(
            [*command, *options.split()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with accept(server) as sock:
                data = b""
                while (hello := parse(data)) is None:
                    more = sock.recv(1)
                    assert more, "it ends before its hello does"
                    data += more
        finally:
            client.wait()
    assert hello == expected


def test_trickles_in() -> None:
    """A hello may come byte by byte, and the client's next bytes right behind it."""
    assert all(parse(REAL[:end]) is None for end in range(len(REAL)))
    assert parse(REAL) == EXAMPLE
    assert parse(REAL + b"\x14\3\3\0\1\1" + bytes(MAX_HELLO)) == EXAMPLE


def _in_records(message: bytes, cuts: Iterable[int]) -> bytes:
    """The message in records that are cut there."""
    ends = [*sorted({each for each in cuts if 0 < each < len(message)}), len(message)]
    begins = [0, *ends[:-1]]
    return b"".join(_record(message[i:j]) for i, j in zip(begins, ends, strict=True))


@given(st.lists(st.integers(1, len(REAL)), max_size=15), st.data())
def test_any_records(cuts: list[int], data: st.DataObject) -> None:
    """A hello may come in several records, cut anywhere, and those in any pieces."""
    sent = _in_records(REAL[5:], cuts)
    assert parse(sent) == EXAMPLE
    assert parse(sent[: data.draw(st.integers(0, len(sent) - 1))]) is None


def test_many_records() -> None:
    """A hello in more records than any client sends is refused."""
    assert parse(_in_records(REAL[5:], range(1, 16))) == EXAMPLE
    sent = _in_records(REAL[5:], range(1, 17))
    last = 5 + len(_in_records(REAL[5:21], range(1, 17)))
    assert parse(sent[: last - 1]) is None
    with pytest.raises(BadHello, match="more than 16 records"):
        parse(sent[:last])


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4])
def test_versions_of_records(minor: int) -> None:
    """Records may be of every version since SSL 3, whichever the client speaks."""
    assert parse(_record(_message(_body(_host(b"a"))), minor)) == ClientHello("a")


def test_no_extensions() -> None:
    """An old client sends no extensions, or an empty list of them."""
    assert parse(_hello()) == ClientHello()
    assert parse(_record(_message(_body() + _sized(b"")))) == ClientHello()


def test_unknown_is_ignored() -> None:
    """Other extensions are ignored, those that only test servers too (RFC 8701)."""
    data = _hello(
        (0x0A0A, b""),
        _host(b"api.example.com"),
        (0xFE0D, bytes(200)),  # Encrypted Client Hello
        _alpn(b"\x0a\x0a", b"h2"),
        (0xFAFA, b"\0"),
    )
    assert parse(data) == EXAMPLE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"API.EXAMPLE.COM.", "api.example.com"),
        (b"my_db.example.com", "my_db.example.com"),
        (b"192.0.2.1", None),
        (b"::1", None),
        (b"example.com:443", None),
        (b"*.example.com", None),
        (b"a\0.example.com", None),
        (b"\xff.example.com", None),
        (b"a\n", None),
        (b"x" * 300, None),
    ],
)
def test_names(name: bytes, expected: str | None) -> None:
    """A name is in lower case without a final dot; what is no host name is none."""
    assert parse(_hello(_host(name))) == ClientHello(expected)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"G", "it is not TLS"),
        (b"\x15\3", "it is not TLS"),
        (b"\x16\2", "it is not TLS"),
        (b"\x16\4", "it is not TLS"),
        (b"\0", "it is not TLS"),
        (b"\x80\x2e\1\0\2", "it is a hello of SSL 2"),
        (b"\x80\x2e\2", "it is not TLS"),
    ],
)
def test_other_protocols(data: bytes, why: str) -> None:
    """A client that speaks another protocol is refused by its first bytes."""
    for sent in (data, data + bytes(MAX_HELLO)):
        with pytest.raises(NotTLS, match=why):
            parse(sent)


WHOLE = _message(_body(_host(b"a")))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x16\3\5\0\1", "none of a handshake, or of no version"),
        (_record(WHOLE[:9]) + b"\x15\3\3\0\2", "none of a handshake"),
        (_record(WHOLE[:9]) + b"\x16\2\3\0\2", "none of a handshake"),
        (b"\x16\3\1\0\0", "empty, or too long"),
        (_record(WHOLE[:9]) + b"\x16\3\3\0\0", "empty, or too long"),
        (b"\x16\3\1\x40\x01", "empty, or too long"),
        (b"\x16\3\1\0\x10\2", "does not begin with a ClientHello"),
        (_record(b"\0"), "does not begin with a ClientHello"),
        (b"\x16\3\1\x40\0\1\0\x3f\xf8", f"longer than {MAX_HELLO} bytes"),
        (_record(b"\1\1") + _record(b"\0\0"), f"longer than {MAX_HELLO} bytes"),
    ],
)
def test_bad_heads(data: bytes, why: str) -> None:
    """A record or a message that belongs to no hello is refused by its head."""
    for sent in (data, data + b"\x16"):
        with pytest.raises(BadHello, match=why):
            parse(sent)
    assert parse(data[:-1]) is None


def test_longest() -> None:
    """The longest hello has 16 KiB with the heads of its records, and not one more."""
    room = MAX_HELLO - len(_hello((0xAAAA, b"")))
    longest = _hello((0xAAAA, bytes(room)))
    assert len(longest) == MAX_HELLO
    assert parse(longest[:-1]) is None
    assert parse(longest) == parse(longest + b"?") == ClientHello()
    divided = _in_records(longest[5:], [9])
    assert parse(divided[: MAX_HELLO - 1]) is None
    for sent in (divided[:MAX_HELLO], divided):
        with pytest.raises(BadHello, match=f"longer than {MAX_HELLO} bytes"):
            parse(sent)


LISTED = b"\0" + _sized(b"a")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "cut short"),
        (b"\3\3" + bytes(31), "cut short"),
        (b"\3\3" + bytes(32), "cut short"),
        (_body()[:-1], "cut short"),
        (_body() + b"\0", "cut short"),
        (_body() + b"\0\1", "cut short"),
        (_body() + b"\0\1\0", "cut short"),
        (_body() + b"\0\0\0", "bytes where it should end"),
        (_body((0, b"")) + b"\0", "bytes where it should end"),
        (_body(session_id=bytes(33)), "session id is too long"),
        (_body(ciphers=b""), "cipher suites are malformed"),
        (_body(ciphers=bytes(3)), "cipher suites are malformed"),
        (_body(compressions=b""), "no compression method"),
        (_body(_host(b"a"))[:-1], "cut short"),
        (_body()[:-1] + b"\0" + _sized(b"\0\0\0\1"), "cut short"),
        (_body()[:-1] + b"\0" + _sized(b"\0\0\0"), "cut short"),
        (_body(_host(b"a"), _host(b"a")), "an extension twice"),
        (_body(_alpn(b"a"), (0x0A0A, b""), _alpn(b"b")), "an extension twice"),
        (_body((0, b"")), "cut short"),
        (_body((0, b"\0\0")), "of an unknown type"),
        (_body((0, _sized(b"\1" + _sized(b"a")))), "of an unknown type"),
        (_body((0, _sized(b"\0"))), "cut short"),
        (_body((0, _sized(b"\0\0\2a"))), "cut short"),
        (_body((0, _sized(LISTED) + b"\0")), "bytes where it should end"),
        (_body((0, _sized(LISTED + LISTED))), "bytes where it should end"),
        (_body(_host(b"")), "server name is empty"),
    ],
)
def test_malformed(body: bytes, why: str) -> None:
    """A hello that is malformed is refused once it is complete."""
    data = _record(_message(body))
    assert parse(data[:-1]) is None
    with pytest.raises(BadHello, match=why):
        parse(data)


@given(st.binary(max_size=60), st.booleans(), st.data())
def test_any_bytes(junk: bytes, insert: bool, data: st.DataObject) -> None:
    """Whatever a client sends is a hello, or refused, or the beginning of one."""
    at = data.draw(st.integers(0, len(REAL)))
    sent = REAL[:at] + junk + REAL[at if insert else at + len(junk) :]
    for each in (junk, sent):
        with suppress(BadHello):
            parse(each)
        with suppress(BadHello):
            assert parse(each.ljust(MAX_HELLO, b"\0")) is not None
