"""Headers of the PROXY protocol, of both versions, as they arrive."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lbconsul.net.proxy_protocol import (
    MAX_HEADER,
    Address,
    BadHeader,
    Header,
    build_v1,
    build_v2,
    parse,
)
from lbconsul.net.proxy_tlvs import AUTHORITY, CRC32C, NOOP, TLV

PORTS = st.integers(0, 65535)
HOSTS4 = st.ip_addresses(v=4).map(str)
HOSTS6 = st.integers(1 << 64, (1 << 128) - 1).map(IPv6Address).map(str)
ENDPOINTS: st.SearchStrategy[tuple[Address, Address]] = st.one_of(
    *(
        st.tuples(st.tuples(one, PORTS), st.tuples(other, PORTS))
        for one in (HOSTS4, HOSTS6)
        for other in (HOSTS4, HOSTS6)
    )
)
TYPES = st.integers(0, 255).filter(lambda kind: kind not in (CRC32C, NOOP))
TLVS = st.lists(st.tuples(TYPES, st.binary(max_size=80)), max_size=5).map(tuple)

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
V2 = build_v2(("::1", 1), ("::1", 2), [(AUTHORITY, b"example.com")], checksum=True)


def _check_pieces(header: bytes, rest: bytes, expected: Header) -> None:
    """Every beginning asks for more, and what follows the header does not matter."""
    assert all(parse(header[:end]) is None for end in range(len(header)))
    assert parse(header) == expected
    assert parse(header + rest) == expected


@given(ENDPOINTS, st.binary())
def test_lines(endpoints: tuple[Address, Address], rest: bytes) -> None:
    """A client is who the header of version 1 says, in however many pieces."""
    header = build_v1(*endpoints)
    _check_pieces(header, rest, Header(*endpoints, len(header)))


@given(ENDPOINTS, TLVS, st.booleans(), st.binary())
def test_binary(
    endpoints: tuple[Address, Address],
    tlvs: tuple[TLV, ...],
    checksum: bool,
    rest: bytes,
) -> None:
    """A client is who the header of version 2 says, in however many pieces."""
    header = build_v2(*endpoints, tlvs, checksum=checksum)
    _check_pieces(header, rest, Header(*endpoints, len(header), tlvs))


@given(st.ip_addresses(v=4), PORTS)
def test_ipv4_on_a_socket_of_ipv6(ip: IPv4Address, port: int) -> None:
    """A client of IPv4 is one, whatever kind of socket it came by."""
    mapped = str(IPv6Address(bytes(10) + b"\xff\xff" + ip.packed))
    for build in (build_v1, build_v2):
        header = parse(build((mapped, port), ("::1", 1)))
        assert header is not None
        assert header.source == (str(ip), port)


@pytest.mark.parametrize(
    "data",
    [
        b"G",  # of GET
        b"PO",  # of POST
        b"PRI",  # of HTTP/2
        b"S",  # of SSH
        b"\x16",  # of TLS
        b"\r\n\r\nG",
        b"p",
        b" ",
        b"\0",
        b"\n",
    ],
)
def test_other_protocols(data: bytes) -> None:
    """A client that speaks another protocol is refused by its first bytes."""
    for sent in (data, data + b"ET / HTTP/1.1\r\n"):
        with pytest.raises(BadHeader, match="neither PROXY nor the signature"):
            parse(sent)
    assert parse(data[:-1]) is None


HEADERS = st.sampled_from([V1, V2, b"PROXY UNKNOWN\r\n", build_v2(None, "")])


@given(st.binary(max_size=40), HEADERS, st.data())
@example(b"", b"", None)
def test_any_bytes(junk: bytes, header: bytes, data: st.DataObject | None) -> None:
    """Whatever a client sends is a header, or refused, or the beginning of one."""
    at = data.draw(st.integers(0, len(header))) if data else 0
    sent = header[:at] + junk + header[at + len(junk) :]
    with suppress(BadHeader):
        parse(sent)
    with suppress(BadHeader):
        assert parse(sent.ljust(MAX_HEADER, b"\0")) is not None
    with suppress(BadHeader):
        assert parse(sent.ljust(MAX_HEADER, b"f")) is not None


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_changed_on_the_way(bit: int) -> None:
    """
    A header with a checksum that arrives with another byte than was sent is refused.

    But for the type of the TLV that makes it one with a checksum.
    """
    for at in range(len(V2)):
        changed = bytearray(V2)
        changed[at] ^= bit
        if at != len(V2) - 7:
            # A longer header could be one whose rest is to come.
            with pytest.raises(BadHeader):
                parse(bytes(changed).ljust(MAX_HEADER, b"\0"))
