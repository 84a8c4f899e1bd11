"""What a header of the PROXY protocol says.  Pure."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from lbconsul.net.proxy_tlvs import TLV

#: The longest header that is accepted or built, in bytes, as in nginx.  The format of
#: version 2 has room for 65551; without TLVs none is longer than 232.
MAX_HEADER = 4096

#: The address of an endpoint, as sockets have it: host and port, or the name of a UNIX
#: socket, which is bytes if abstract; None: not known.
Address = tuple[str, int] | str | bytes | None

IP = IPv4Address | IPv6Address

#: Most hosts that are remembered once they were parsed: the proxy's own address is in
#: each header.
_REMEMBERED = 1024


class BadHeader(ValueError):
    """The bytes are no PROXY header, and more of them do not help; the text says why.

    The text holds nothing of what was sent.
    """


@frozen
class Header:
    """What a PROXY header says."""

    #: The client, and what it connected to: an IPv4-mapped address is the IPv4 address.
    #: Both are None if the header does not say (`is_local`, UNKNOWN, UNSPEC): the
    #: connection's own addresses are to be used.
    source: Address
    destination: Address
    #: Bytes of the header: the connection's own begin behind them.
    length: int
    #: Without CRC32C, which was verified, and NOOP.
    tlvs: tuple[TLV, ...] = ()
    #: Whether it is LOCAL (2.2): the proxy speaks for itself, as in a health check.
    #: HAProxy 2.6 sends that for a client of a UNIX socket, too.
    is_local: bool = False


@lru_cache(_REMEMBERED)
def ip_of(host: str) -> IP:
    """The address of a host without its scope; an IPv4-mapped one as IPv4.

    :raises ValueError: it is no IP address.
    """
    return unmapped(ip_address(host.partition("%")[0]))


def unmapped(ip: IP) -> IP:
    """The address, or the IPv4 address that is mapped in it."""
    return (isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip


def endpoints(
    source: Address, destination: Address
) -> tuple[IP, IP, tuple[int, int]] | None:
    """The IP addresses and the ports; None unless both endpoints have them."""
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        return None
    return ip_of(source[0]), ip_of(destination[0]), (source[1], destination[1])
