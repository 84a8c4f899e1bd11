"""Version 2 of the PROXY protocol's header: binary.  Pure.

Sections are those of https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from lbconsul.net.crc32c import crc32c
from lbconsul.net.proxy_header import (
    IP,
    MAX_HEADER,
    Address,
    BadHeader,
    Header,
    endpoints,
    unmapped,
)
from lbconsul.net.proxy_tlvs import CRC32C, NOOP, TLV, read_tlvs, write_tlvs

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

#: The part that every header has: signature, command, kind and length.
_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21

#: Transports: the low half of the 14th byte.
_DATAGRAM = 2

#: The 14th byte of connections: address family and transport.
_UNSPEC, _TCP4, _TCP6, _UNIX = 0, 0x11, 0x21, 0x31

_ADDRESSES4 = struct.Struct("!4s4sHH")
_ADDRESSES6 = struct.Struct("!16s16sHH")
_NAMES = struct.Struct("!108s108s")

#: The text of an IPv4 address from its bytes, without the ten calls of `ipaddress`.
_TEXT4 = "%d.%d.%d.%d"

#: Bytes of the addresses by address family, the high half of the 14th byte.
_SIZES = {0: 0, 1: _ADDRESSES4.size, 2: _ADDRESSES6.size, 3: _NAMES.size}

#: The prefix of IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


def parse_v2(data: bytes) -> Header | None:
    """Parse the beginning of a connection; None if more bytes are needed.

    :raises BadHeader: it is no header, and more bytes do not make it one.
    """
    if not _SIGNATURE.startswith(data[:12]):
        raise BadHeader("it begins with neither PROXY nor the signature of version 2")
    command, kind = data[12:13], data[13:14]
    if command and command[0] not in (_LOCAL, _PROXY):
        raise BadHeader("its version is not 2, or its command neither LOCAL nor PROXY")
    is_local = command == bytes([_LOCAL])
    if kind and not is_local:
        _check_kind(kind[0])
    if len(data) < _FIXED.size:
        return None
    end = _FIXED.size + int.from_bytes(data[14:16])
    if end > MAX_HEADER:
        raise BadHeader(f"it is longer than {MAX_HEADER} bytes")
    if len(data) < end:
        return None
    header = data[:end]
    return _local(header) if is_local else _proxied(header)


def build_v2(
    source: Address,
    destination: Address,
    tlvs: Iterable[TLV] = (),
    *,
    checksum: bool = False,
) -> bytes:
    """A header of version 2 (2.2), with a CRC32C TLV on request (2.2.3).

    If only one of two IP addresses is of IPv4, it is sent as IPv6, mapped.  Unless both
    are IP addresses the header is LOCAL and has none: HAProxy 2.6 sends that for UNIX
    sockets, and refuses what the format has for them, and UNSPEC.

    :raises ValueError: the TLVs are too long for `MAX_HEADER`.
    """
    command, kind, addresses = _pack(source, destination)
    block = addresses + write_tlvs(tlvs)
    if checksum:
        block += write_tlvs([(CRC32C, bytes(4))])
    if _FIXED.size + len(block) > MAX_HEADER:
        raise ValueError(f"the PROXY header is longer than {MAX_HEADER} bytes")
    header = _FIXED.pack(_SIGNATURE, command, kind, len(block)) + block
    return header[:-4] + crc32c(header).to_bytes(4) if checksum else header


def _check_kind(kind: int) -> None:
    family, transport = divmod(kind, 16)
    if family not in _SIZES or transport > _DATAGRAM:
        raise BadHeader("its address family or transport is none that the format has")
    if transport == _DATAGRAM:
        raise BadHeader("it is for datagrams, not for a connection")


def _local(header: bytes) -> Header:
    """The proxy speaks for itself: what the rest says, if anything, is ignored (2.2).

    But for a checksum, if there are TLVs behind the addresses.
    """
    family = header[13] >> 4
    tlvs = read_tlvs(header[_FIXED.size + _SIZES.get(family, 0) :]) or ()
    _check_sum(header, tlvs)
    return Header(None, None, len(header), _without_padding(tlvs), is_local=True)


def _proxied(header: bytes) -> Header:
    kind = header[13]
    begin = _FIXED.size + _SIZES[kind >> 4]
    if len(header) < begin:
        raise BadHeader("it is shorter than its addresses")
    tlvs = read_tlvs(header[begin:])
    if tlvs is None:
        raise BadHeader("its last TLV is cut short")
    _check_sum(header, tlvs)
    source, destination = _unpack(kind, header)
    return Header(source, destination, len(header), _without_padding(tlvs))


def _check_sum(header: bytes, tlvs: tuple[TLV, ...]) -> None:
    """Verify the CRC32C of a header that ends with these TLVs, if it has one (2.2.3).

    :raises BadHeader: it is wrong, or not one of 4 bytes.
    """
    if not tlvs:
        return
    sums = [number for number, (kind, _) in enumerate(tlvs) if kind == CRC32C]
    if not sums:
        return
    value = tlvs[sums[0]][1]
    if len(sums) > 1 or len(value) != 4:
        raise BadHeader("it has not one CRC32C of 4 bytes")
    at = len(header) - len(write_tlvs(tlvs[sums[0] + 1 :])) - 4
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(value):
        raise BadHeader("its CRC32C is wrong")


def _without_padding(tlvs: tuple[TLV, ...]) -> tuple[TLV, ...]:
    """The TLVs without checksum and padding."""
    if not tlvs:
        return tlvs
    return tuple(each for each in tlvs if each[0] not in (CRC32C, NOOP))


def _unpack(kind: int, header: bytes) -> tuple[Address, Address]:
    """Source and destination; None where family or transport is UNSPEC."""
    if kind == _TCP4:
        one, other, *ports = _ADDRESSES4.unpack_from(header, _FIXED.size)
        source, destination = _TEXT4 % (*one,), _TEXT4 % (*other,)
        return (source, ports[0]), (destination, ports[1])
    if kind == _TCP6:
        one, other, *ports = _ADDRESSES6.unpack_from(header, _FIXED.size)
        source, destination = _text(one), _text(other)
        return (source, ports[0]), (destination, ports[1])
    if kind == _UNIX:
        one, other = _NAMES.unpack_from(header, _FIXED.size)
        return _socket_name(one), _socket_name(other)
    return None, None


def _text(packed: bytes) -> str:
    return str(unmapped(IPv6Address(packed)))


def _socket_name(field: bytes) -> str | bytes:
    """The name of a UNIX socket as `getpeername` has it: abstract ones are bytes."""
    if field.startswith(b"\0"):
        return field.rstrip(b"\0") or ""
    return field.partition(b"\0")[0].decode(errors="surrogateescape")


def _pack(source: Address, destination: Address) -> tuple[int, int, bytes]:
    """The 13th and 14th byte, and the addresses."""
    found = endpoints(source, destination)
    if found is None:
        return _LOCAL, _UNSPEC, b""
    one, other, ports = found
    if isinstance(one, IPv4Address) and isinstance(other, IPv4Address):
        return _PROXY, _TCP4, _ADDRESSES4.pack(one.packed, other.packed, *ports)
    return _PROXY, _TCP6, _ADDRESSES6.pack(_packed6(one), _packed6(other), *ports)


def _packed6(ip: IP) -> bytes:
    return ip.packed if isinstance(ip, IPv6Address) else _MAPPED + ip.packed
