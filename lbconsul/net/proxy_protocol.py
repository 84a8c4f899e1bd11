"""The header of the PROXY protocol, versions 1 and 2: parse it, build it.  Pure.

A proxy sends it before the first byte of a connection, to say whose connection it is.
The format is in https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.  The
library `proxy-protocol` 0.11 is not used: it bounds no header, takes ``+1`` for a port,
keeps one of repeated TLVs, verifies no checksum without a compiled library, and raises
whatever went wrong.
"""

from lbconsul.net.proxy_header import MAX_HEADER, Address, BadHeader, Header
from lbconsul.net.proxy_v1 import build_v1, parse_v1
from lbconsul.net.proxy_v2 import build_v2, parse_v2

__all__ = [
    "MAX_HEADER",
    "Address",
    "BadHeader",
    "Header",
    "build_v1",
    "build_v2",
    "parse",
]


def parse(data: bytes) -> Header | None:
    """Parse the beginning of a connection; None if more bytes are needed.

    Takes all bytes that have arrived, and refuses them as soon as they show that they
    are no header.  `MAX_HEADER` bytes never need more.  A header that arrives byte by
    byte costs little more than one that arrives at once: while one of version 2 is not
    complete, only its first 16 bytes are looked at, and version 1 has 107 at most.

    :raises BadHeader: there is no valid header, or one that is longer than accepted.
    """
    return parse_v1(data) if data.startswith(b"P") else parse_v2(data)
