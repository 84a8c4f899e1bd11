"""Who is at the other end of TLS."""

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from lbconsul.tls import inspection
from lbconsul.tls.inspection import peer_of, server_name_of
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import (
    UNREADABLE_NAME,
    Authority,
    with_broken_name,
)
from tests.support.tls import (
    non_blocking_pair,
    plain_server_context,
    python_client,
    server_side,
    shake_hands,
)

Connect = Callable[..., TLSStream]


@pytest.fixture
def connect(tmp_path: Path) -> object:
    """Shakes hands with a client, which may show a certificate."""
    authority = Authority(tmp_path)
    issued = authority.issue("localhost")
    with ExitStack() as held:

        def connected(name: str | None, *shown: str, **more: Any) -> TLSStream:
            context = plain_server_context(issued)
            context.load_verify_locations(authority.file)
            context.set_verify(SSL.VERIFY_PEER, lambda *args: bool(args[-1]))
            ours, peer = non_blocking_pair()
            held.enter_context(peer)
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            if shown:
                certificate = authority.issue(*shown, **more)
                client.load_cert_chain(certificate.cert, certificate.key)
            stream = server_side(context, ours)
            held.callback(stream.close)
            shake_hands(stream, python_client(peer, client, name))
            return stream

        yield connected


@pytest.mark.parametrize(
    ("name", "found"),
    [("Web.Example.COM", "web.example.com"), (None, None), ("127.0.0.1", None)],
)
def test_server_name(connect: Connect, name: str | None, found: str | None) -> None:
    """The name that the client asked for; an address is none."""
    assert server_name_of(connect(name).connection) == found


def test_no_certificate(connect: Connect) -> None:
    """A client without a certificate: version and cipher are known."""
    peer = peer_of(connect(None).connection)
    assert (peer.version, peer.certificate) == ("TLSv1.3", None)
    assert peer.cipher.startswith("TLS_")


def test_certificate(connect: Connect, tmp_path: Path) -> None:
    """The names in the certificate that the client showed, and its fingerprint."""
    peer = peer_of(connect(None, "alice.example.com", "192.0.2.1").connection)
    assert peer.certificate is not None
    assert peer.certificate.common_name == "alice.example.com"
    assert peer.certificate.alternative_names == ("alice.example.com", "192.0.2.1")
    [file] = tmp_path.glob("alice*.crt")
    shown = x509.load_pem_x509_certificate(file.read_bytes())
    assert peer.certificate.fingerprint == shown.fingerprint(SHA256()).hex()


def test_certificate_without_other_names(connect: Connect) -> None:
    """A certificate needs no alternative names."""
    certificate = peer_of(connect(None, "alice", names=()).connection).certificate
    assert certificate is not None
    assert (certificate.common_name, certificate.alternative_names) == ("alice", ())


def test_alternative_names_that_cannot_be_read(connect: Connect) -> None:
    """A verified client whose alternative names cannot be read is still known."""
    stream = connect(None, "alice", names=(), also=[UNREADABLE_NAME])
    certificate = peer_of(stream.connection).certificate
    assert certificate is not None
    assert (certificate.common_name, certificate.alternative_names) == ("alice", ())


def test_common_name_that_cannot_be_read(tmp_path: Path) -> None:
    """A common name that cannot be read counts as none; other names are told."""
    issued = Authority(tmp_path).issue("alice", names=["alice.example.com"])
    path = with_broken_name(tmp_path / "broken.crt", issued.cert, "alice")
    shown = x509.load_pem_x509_certificate(Path(path).read_bytes())
    certificate = inspection._certificate(shown)
    assert certificate.common_name == ""
    assert certificate.alternative_names == ("alice.example.com",)
