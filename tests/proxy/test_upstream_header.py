"""The PROXY header for an upstream: whose connection it says that it is."""

import pytest

from lbconsul.net.proxy_protocol import MAX_HEADER, Header, build_v2, parse
from lbconsul.net.proxy_tlvs import AUTHORITY, SSL, ClientTLS
from lbconsul.net.sockets import UNKNOWN_ADDRESS
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.upstream_header import upstream_header
from lbconsul.tls.peer import PeerCertificate, TLSPeer

CLIENT, SERVER = ("192.0.2.7", 5000), ("198.51.100.1", 443)
FRONT, PLACE = ("203.0.113.9", 6000), ("203.0.113.1", 8443)
TLVS = ((5, b"id"), (2, b"www.example.com"))


def parsed(client: object, server: object, info: ClientInfo | None = None) -> Header:
    """What a receiver reads in version 2."""
    header = parse(upstream_header("v2", client, server, info))
    assert header is not None
    return header


def behind_proxy(source: object, destination: object) -> ClientInfo:
    """A client whom the PROXY header of a proxy in front names."""
    header = parse(build_v2(source, destination, TLVS))  # type: ignore[arg-type]
    return ClientInfo(FRONT, header)


def test_version_1() -> None:
    """Version 1 is a line of text."""
    header = upstream_header("v1", CLIENT, SERVER, None)
    assert header == b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n"


def test_client_that_has_left() -> None:
    """A client whose address could not be asked for any more is unknown."""
    assert upstream_header("v1", UNKNOWN_ADDRESS, SERVER, None) == b"PROXY UNKNOWN\r\n"
    assert parsed(UNKNOWN_ADDRESS, SERVER).is_local


def test_version_2() -> None:
    """Version 2 says the same."""
    header = parsed(CLIENT, SERVER)
    assert (header.source, header.destination) == (CLIENT, SERVER)
    assert header.tlvs == ()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_addresses_of_ipv6(version: str) -> None:
    """Flow and scope, which sockets tell of IPv6 addresses, are left out."""
    client, server = ("2001:db8::7", 5000, 0, 0), ("fe80::1%eth0", 443, 0, 2)
    header = parse(upstream_header(version, client, server, None))
    assert header is not None
    assert header.source == ("2001:db8::7", 5000)
    assert header.destination == ("fe80::1", 443)


def test_unix_client() -> None:
    """A client of a UNIX socket has no address to tell."""
    assert upstream_header("v1", "", "/run/web.sock", None) == b"PROXY UNKNOWN\r\n"
    header = parsed("", "/run/web.sock")
    assert (header.source, header.is_local) == (None, True)


def test_client_behind_proxy() -> None:
    """The header of a proxy in front goes on, its TLVs with version 2."""
    info = behind_proxy(CLIENT, PLACE)
    header = parsed(CLIENT, SERVER, info)
    assert (header.source, header.destination) == (CLIENT, PLACE)
    assert header.tlvs == TLVS
    line = upstream_header("v1", CLIENT, SERVER, info)
    assert line == b"PROXY TCP4 192.0.2.7 203.0.113.1 5000 8443\r\n"


def test_header_without_address() -> None:
    """If that header names no client, the address of its connection is sent."""
    header = parsed(FRONT, SERVER, behind_proxy(None, None))
    assert (header.source, header.destination) == (FRONT, SERVER)
    assert header.tlvs == TLVS


def test_client_with_other_facts() -> None:
    """A client of which a handshake told no header has the addresses of its socket."""
    header = parsed(CLIENT, SERVER, ClientInfo())
    assert (header.source, header.destination) == (CLIENT, SERVER)


def tls(common_name: str | None = None) -> TLSPeer:
    """A client of TLS, with a certificate if it has a name."""
    certificate = None
    if common_name is not None:
        certificate = PeerCertificate(common_name, (), "00")
    return TLSPeer("TLSv1.3", "TLS_AES_256_GCM_SHA384", certificate)


@pytest.mark.parametrize("name", [None, "alice"])
def test_client_of_tls(name: str | None) -> None:
    """Version 2 tells the server name, and who the client is by its certificate."""
    info = ClientInfo(server_name="www.example.com", tls=tls(name))
    tlvs = dict(parsed(CLIENT, SERVER, info).tlvs)
    assert tlvs.keys() == {AUTHORITY, SSL}
    assert tlvs[AUTHORITY] == b"www.example.com"
    assert ClientTLS.read(tlvs[SSL]) == ClientTLS(
        version="TLSv1.3",
        has_certificate=name is not None,
        is_verified=name is not None,
        common_name=name or "",
        cipher="TLS_AES_256_GCM_SHA384",
    )


def test_client_without_a_server_name() -> None:
    """A client of TLS that asks for no name has none."""
    assert dict(parsed(CLIENT, SERVER, ClientInfo(tls=tls())).tlvs).keys() == {SSL}


def test_client_of_tls_behind_proxy() -> None:
    """What a proxy in front says of the client's TLS counts, not that proxy's own."""
    told = (AUTHORITY, b"api.example.com"), (SSL, ClientTLS("TLSv1.2").write())
    header = parse(build_v2(CLIENT, PLACE, told))
    info = ClientInfo(FRONT, header, "balancer.example.com", tls("balancer"))
    assert parsed(CLIENT, SERVER, info).tlvs == told


@pytest.mark.parametrize("size", [4000, MAX_HEADER - 16 - 12 - 3])
def test_much_to_tell(size: int) -> None:
    """What an announcing proxy has told comes first where there is no room for all."""
    told = ((0xE0, bytes(size)),)
    header = parse(build_v2(CLIENT, PLACE, told))
    info = ClientInfo(FRONT, header, "a" * 200)
    assert parsed(CLIENT, SERVER, info).tlvs == told


def test_too_much_to_tell() -> None:
    """A client of IPv6 has less room for the rest: then nothing else is told."""
    told = ((0xE0, bytes(MAX_HEADER - 16 - 12 - 3)),)
    length = len(build_v2(CLIENT, PLACE, told))
    info = ClientInfo(FRONT, Header(None, None, length, told))
    header = parsed(("2001:db8::7", 1), ("2001:db8::1", 2), info)
    assert header.tlvs == ()
