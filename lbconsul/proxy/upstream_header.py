"""The PROXY header that names the client to an upstream."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import cast

from lbconsul.net.proxy_protocol import Address, build_v1, build_v2
from lbconsul.net.proxy_tlvs import AUTHORITY, SSL, TLV, ClientTLS
from lbconsul.net.sockets import UNKNOWN_ADDRESS
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.tls.peer import TLSPeer


def upstream_header(
    version: str, client: object, server: object, info: ClientInfo | None
) -> bytes:
    """The header for a client's connection, in version ``v1`` or ``v2``.

    `client` is the client's address, and `server` the one that it connected to, unless
    the header that was received from a proxy has another.  Version 2 passes on the TLVs
    of that header, and adds server name and TLS of the client if they are not among
    them.
    """
    received = None if info is None else info.header
    source, destination = _address(client), _address(server)
    if received is not None and received.source is not None:
        destination = received.destination
    if version == "v1":
        return build_v1(source, destination)
    passed_on = received.tlvs if received else ()
    for tlvs in ([*passed_on, *_own_tlvs(info, passed_on)], passed_on):
        with suppress(ValueError):  # it is too long with all of them
            return build_v2(source, destination, tlvs)
    return build_v2(source, destination)


def _own_tlvs(info: ClientInfo | None, received: Iterable[TLV]) -> Iterator[TLV]:
    """Server name and TLS of the client, unless the received TLVs have them."""
    if info is None:
        return
    kinds = {kind for kind, _ in received}
    if info.server_name and AUTHORITY not in kinds:
        yield AUTHORITY, info.server_name.encode()
    if info.tls is not None and SSL not in kinds:
        yield SSL, _client_tls(info.tls).write()


def _client_tls(peer: TLSPeer) -> ClientTLS:
    certificate = peer.certificate
    return ClientTLS(
        version=peer.version,
        has_certificate=certificate is not None,
        is_verified=certificate is not None,  # others are refused
        common_name=certificate.common_name if certificate else "",
        cipher=peer.cipher,
    )


def _address(known: object) -> Address:
    """An address as a socket or a PROXY header has it, without IPv6 flow and scope."""
    if known == UNKNOWN_ADDRESS:
        return None
    if isinstance(known, tuple):
        return known[0], known[1]
    return cast(Address, known)
