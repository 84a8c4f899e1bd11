"""The PROXY header that tells an upstream whose connection it gets.  Pure."""

from typing import cast

from lbconsul.net.proxy_protocol import Address, build_v1, build_v2
from lbconsul.proxy.client_info import ClientInfo


def upstream_header(
    version: str, client: object, server: object, info: ClientInfo | None
) -> bytes:
    """The header for a client's connection, in version ``v1`` or ``v2``.

    `client` is the client's address, and `server` the one that it connected to, unless
    the header of a proxy in front has named another.  The TLVs of that header are
    passed on with version 2.
    """
    announced = None if info is None else info.header
    source, destination = _address(client), _address(server)
    if announced is not None and announced.source is not None:
        destination = announced.destination
    if version == "v1":
        return build_v1(source, destination)
    return build_v2(source, destination, announced.tlvs if announced else ())


def _address(known: object) -> Address:
    """An address as a socket or a PROXY header has it, without IPv6 flow and scope."""
    if isinstance(known, tuple):
        return known[0], known[1]
    return cast(Address, known)
