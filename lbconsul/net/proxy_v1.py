r"""Version 1 of the PROXY protocol's header: a line of text.  Pure.

As in ``PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n``.  Sections are those of
https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from lbconsul.net.proxy_header import (
    IP,
    Address,
    BadHeader,
    Header,
    endpoints,
    unmapped,
)

#: The longest line, in bytes with its end (2.1).
MAX_LINE = 107

_FAMILIES = (b"TCP4", b"TCP6", b"UNKNOWN")

#: What an address can begin with, by family; the longest is IPv6 with IPv4 at its end.
_HOST_BEGINS = {
    b"TCP4": re.compile(rb"[0-9.]{0,15}"),
    b"TCP6": re.compile(rb"[0-9A-Fa-f:.]{0,45}"),
}
#: What a port can begin with: no zero but 0 itself (2.1).
_PORT_BEGINS = re.compile(rb"0?|[1-9][0-9]{0,4}")
_LAST_PORT = 65535


def parse_v1(data: bytes) -> Header | None:
    """Parse the beginning of a connection; None if more bytes are needed.

    :raises BadHeader: it is no header, and more bytes do not make it one.
    """
    if not b"PROXY ".startswith(data[:6]):
        raise BadHeader("it begins with neither PROXY nor the signature of version 2")
    line, end, rest = data[:MAX_LINE].partition(b"\r")
    if b"\n" in line or not b"\n".startswith(rest[:1]):
        raise BadHeader("its line does not end with CR and LF")
    if len(line) + 2 > MAX_LINE:
        raise BadHeader(f"its line is longer than {MAX_LINE} bytes")
    family, *fields = line[6:].split(b" ")
    is_whole = bool(end)
    _check_family(family, is_whole or bool(fields))
    # What follows UNKNOWN is ignored (2.1).
    is_known = family != b"UNKNOWN"
    if is_known:
        _check_fields(family, fields, is_whole)
    if not rest:
        return None
    if not is_known:
        return Header(None, None, len(line) + 2)
    source, destination = (_host(family, each) for each in fields[:2])
    ports = [int(each) for each in fields[2:]]
    return Header((source, ports[0]), (destination, ports[1]), len(line) + 2)


def build_v1(source: Address, destination: Address) -> bytes:
    """A header of version 1: UNKNOWN unless both are IP addresses (2.1).

    If only one is of IPv4, it is sent as IPv6, mapped.
    """
    found = endpoints(source, destination)
    if found is None:
        return b"PROXY UNKNOWN\r\n"
    one, other, ports = found
    if isinstance(one, IPv4Address) and isinstance(other, IPv4Address):
        family, hosts = "TCP4", [str(one), str(other)]
    else:
        family, hosts = "TCP6", [_text6(one), _text6(other)]
    return f"PROXY {family} {' '.join(hosts)} {ports[0]} {ports[1]}\r\n".encode()


def _text6(ip: IP) -> str:
    """As inet_ntop(3) and HAProxy write it: servers log it as it stands."""
    return str(ip) if isinstance(ip, IPv6Address) else f"::ffff:{ip}"


def _check_family(family: bytes, is_whole: bool) -> None:
    if not any(
        family == each or (not is_whole and each.startswith(family))
        for each in _FAMILIES
    ):
        raise BadHeader("its family is none of TCP4, TCP6 and UNKNOWN")


def _check_fields(family: bytes, fields: list[bytes], is_whole: bool) -> None:
    """Check the fields that are there: the last may be a beginning.

    :raises BadHeader: they cannot become a valid line.
    """
    if len(fields) > 4 or (is_whole and len(fields) < 4):
        raise BadHeader("its line has not two addresses and two ports")
    last = 4 if is_whole else len(fields) - 1
    for number, field in enumerate(fields[:2]):
        if not _HOST_BEGINS[family].fullmatch(field):
            raise BadHeader("an address in it is not valid")
        if number < last:
            _host(family, field)
    for number, field in enumerate(fields[2:], 2):
        if not _PORT_BEGINS.fullmatch(field) or int(field or b"0") > _LAST_PORT:
            raise BadHeader("a port in it is not valid")
        if number < last and not field:
            raise BadHeader("a port in it is not valid")


def _host(family: bytes, field: bytes) -> str:
    """The address in a complete field, as sockets have it.

    :raises BadHeader: it is not valid.
    """
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        return str(unmapped(kind(field.decode())))
    except AddressValueError:
        raise BadHeader("an address in it is not valid") from None
