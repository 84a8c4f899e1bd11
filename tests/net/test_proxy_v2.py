"""Version 2 of the PROXY protocol: binary, with TLVs and a checksum."""

from collections.abc import Iterable

import pytest

from lbconsul.net.proxy_header import MAX_HEADER, Address, BadHeader, Header
from lbconsul.net.proxy_tlvs import ALPN, AUTHORITY, CRC32C, NOOP, TLV, write_tlvs
from lbconsul.net.proxy_v2 import build_v2, parse_v2

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

ONE, OTHER = ("192.0.2.1", 56324), ("198.51.100.1", 443)
PACKED = bytes([192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB])


def _header(command: int, kind: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, kind]) + len(block).to_bytes(2) + block


def _tcp4(*tlvs: TLV) -> bytes:
    return _header(0x21, 0x11, PACKED + write_tlvs(tlvs))


def _refused(header: bytes, because: str) -> None:
    """It is refused, with bytes behind it as well, but no byte earlier."""
    for data in (header, header + bytes(5000)):
        with pytest.raises(BadHeader, match=because):
            parse_v2(data)
    assert parse_v2(header[:-1]) is None


def test_layout() -> None:
    """The layout is the one that its specification prints."""
    header = _tcp4((ALPN, b"h2"))
    assert build_v2(ONE, OTHER, [(ALPN, b"h2")]) == header
    assert parse_v2(header) == Header(ONE, OTHER, len(header), ((ALPN, b"h2"),))


@pytest.mark.parametrize(
    ("source", "destination", "kind", "length", "read"),
    [
        (ONE, OTHER, 0x11, 12, (ONE, OTHER)),
        (("::ffff:192.0.2.1", 56324, 0, 0), OTHER, 0x11, 12, (ONE, OTHER)),
        (
            ("2001:db8::1", 1, 0, 0),
            ("fe80::1%eth0", 2, 0, 3),
            0x21,
            36,
            (("2001:db8::1", 1), ("fe80::1", 2)),
        ),
        (ONE, ("::1", 2), 0x21, 36, (ONE, ("::1", 2))),
        (("::1", 2), ONE, 0x21, 36, (("::1", 2), ONE)),
    ],
)
def test_addresses(
    source: Address,
    destination: Address,
    kind: int,
    length: int,
    read: tuple[Address, Address],
) -> None:
    """Addresses arrive; two of different families as those of IPv6."""
    for tlvs in ([], [(AUTHORITY, b"example.com")]):
        header = build_v2(source, destination, tlvs)
        assert header[13] == kind
        assert len(header) == 16 + length + len(write_tlvs(tlvs))
        assert parse_v2(header) == Header(*read, len(header), tuple(tlvs))


@pytest.mark.parametrize(
    ("source", "destination"),
    [(None, None), (None, OTHER), (ONE, None), ("", ""), ("", OTHER), (ONE, b"\0x")],
)
def test_of_itself(source: Address, destination: Address) -> None:
    """Without two IP addresses a header has none, but what else there is to say."""
    assert build_v2(source, destination) == _header(0x20, 0, b"")
    header = build_v2(source, destination, [(AUTHORITY, b"a")], checksum=True)
    expected = Header(None, None, len(header), ((AUTHORITY, b"a"),), is_local=True)
    assert parse_v2(header) == expected
    _refused(header[:-1] + bytes([header[-1] ^ 1]), "CRC32C is wrong")


@pytest.mark.parametrize(
    ("one", "other", "source", "destination"),
    [
        (b"/run/\xff.sock", b"", "/run/\udcff.sock", ""),
        (b"x" * 108, b"\0abstract", "x" * 108, b"\0abstract"),
        (b"/run/web.sock\0junk", b"", "/run/web.sock", ""),
    ],
)
def test_unix_sockets(
    one: bytes, other: bytes, source: Address, destination: Address
) -> None:
    """A client of a UNIX socket has the name that its proxy says, if any."""
    names = one.ljust(108, b"\0") + other.ljust(108, b"\0")
    header = _header(0x21, 0x31, names + write_tlvs([(ALPN, b"h2")]))
    expected = Header(source, destination, len(header), ((ALPN, b"h2"),))
    assert parse_v2(header) == expected


@pytest.mark.parametrize("kind", [0x00, 0x11, 0x12, 0x21, 0x31, 0x44, 0xFF])
@pytest.mark.parametrize("length", [0, 1, 11, 12, 36, 300])
def test_of_itself_with_anything(kind: int, length: int) -> None:
    """In a proxy's own connection neither family nor addresses matter."""
    header = _header(0x20, kind, b"?" * length)
    assert parse_v2(header) == Header(None, None, len(header), is_local=True)


def test_transport_that_is_not_specified() -> None:
    """Addresses without a transport are not used, and TLVs follow them."""
    for kind, size in [(0, 0), (0x10, 12), (0x20, 36), (0x30, 216), (0x01, 0)]:
        header = _header(0x21, kind, b"\1" * size + write_tlvs([(ALPN, b"h2")]))
        assert parse_v2(header) == Header(None, None, len(header), ((ALPN, b"h2"),))


@pytest.mark.parametrize("byte", range(12))
def test_other_signature(byte: int) -> None:
    """The first byte that is not the signature's ends the matter."""
    wrong = SIGNATURE[:byte] + b"?"
    _refused(wrong, "neither PROXY nor the signature of version 2")


@pytest.mark.parametrize("command", [0x00, 0x01, 0x11, 0x22, 0x2F, 0x30, 0xFF])
def test_other_command(command: int) -> None:
    """Another version or command is refused."""
    _refused(SIGNATURE + bytes([command]), "its version is not 2, or its command")


@pytest.mark.parametrize("kind", [0x03, 0x13, 0x1F, 0x40, 0x41, 0xF1])
def test_other_kind(kind: int) -> None:
    """An address family or a transport that does not exist is refused."""
    _refused(SIGNATURE + bytes([0x21, kind]), "none that the format has")


@pytest.mark.parametrize("kind", [0x02, 0x12, 0x22, 0x32])
def test_datagrams(kind: int) -> None:
    """A stream of bytes carries no datagrams."""
    _refused(SIGNATURE + bytes([0x21, kind]), "for datagrams")


@pytest.mark.parametrize("command", [0x20, 0x21])
def test_too_long(command: int) -> None:
    """A header longer than the bound is refused by its length; the longest is not."""
    fixed = SIGNATURE + bytes([command, 0x11])
    _refused(fixed + (MAX_HEADER - 15).to_bytes(2), f"longer than {MAX_HEADER} bytes")
    _refused(fixed + b"\xff\xff", f"longer than {MAX_HEADER} bytes")
    room = MAX_HEADER - 16 - 12 - 3
    header = build_v2(ONE, OTHER, [(0xE0, bytes(room))])
    assert parse_v2(header) == Header(ONE, OTHER, MAX_HEADER, ((0xE0, bytes(room)),))
    for size in (room + 1, 65536):
        with pytest.raises(ValueError, match="is longer than"):
            build_v2(ONE, OTHER, [(0xE0, bytes(size))])


@pytest.mark.parametrize(("kind", "size"), [(0x11, 12), (0x21, 36), (0x31, 216)])
def test_too_short(kind: int, size: int) -> None:
    """A header without room for its addresses is refused."""
    _refused(_header(0x21, kind, bytes(size - 1)), "shorter than its addresses")
    _refused(SIGNATURE + bytes([0x21, kind, 0, 0]), "shorter than its addresses")


@pytest.mark.parametrize("rest", [b"\1", b"\1\0", b"\1\0\1", b"\1\0\0\1\1\0"])
def test_tlv_cut_short(rest: bytes) -> None:
    """TLVs have to end where the header ends."""
    _refused(_header(0x21, 0x11, PACKED + rest), "last TLV is cut short")


def test_checksum() -> None:
    """A checksum is verified, wherever its TLV is, and told no further."""
    header = build_v2(ONE, OTHER, [(AUTHORITY, b"a")], checksum=True)
    assert parse_v2(header) == Header(ONE, OTHER, len(header), ((AUTHORITY, b"a"),))
    sum_ = bytes.fromhex("34b10261")  # computed bit by bit, from the polynomial
    first = _tcp4((CRC32C, sum_), (NOOP, b"?"), (AUTHORITY, b"a"))
    assert parse_v2(first) == Header(ONE, OTHER, len(first), ((AUTHORITY, b"a"),))


@pytest.mark.parametrize("at", [16, 20, 24, 27, 28, 31, 35, 38])
def test_wrong_checksum(at: int) -> None:
    """An address, a TLV or a sum that has changed on its way is refused."""
    header = bytearray(build_v2(ONE, OTHER, [(AUTHORITY, b"a")], checksum=True))
    header[at] ^= 0x10
    _refused(bytes(header), "its CRC32C is wrong")


@pytest.mark.parametrize(
    "tlvs",
    [
        [(CRC32C, b"")],
        [(CRC32C, bytes(3))],
        [(CRC32C, bytes(5))],
        [(CRC32C, bytes(4)), (CRC32C, bytes(4))],
    ],
)
def test_no_one_checksum(tlvs: Iterable[TLV]) -> None:
    """A header has one checksum of four bytes, or none."""
    _refused(_tcp4(*tlvs), "not one CRC32C of 4 bytes")


def test_padding() -> None:
    """A TLV that only pads is dropped, those of unknown types are kept in order."""
    header = _tcp4((NOOP, b""), (0xEA, b"2"), (NOOP, b"123"), (0xEA, b"1"))
    expected = Header(ONE, OTHER, len(header), ((0xEA, b"2"), (0xEA, b"1")))
    assert parse_v2(header) == expected
