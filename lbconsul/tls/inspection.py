"""What a TLS connection says of its peer: server name, version, certificate."""

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from lbconsul.config.server_names import canonical_name
from lbconsul.tls.certified_key import UNREADABLE
from lbconsul.tls.peer import PeerCertificate, TLSPeer


def server_name_of(connection: SSL.Connection) -> str | None:
    """The server name that a client asked for, in lower case; None if for none."""
    name = connection.get_servername()
    return None if name is None else canonical_name(name.decode("ascii", "replace"))


def peer_of(connection: SSL.Connection) -> TLSPeer:
    """The peer of a connection whose handshake is complete."""
    shown = connection.get_peer_certificate(as_cryptography=True)
    return TLSPeer(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        None if shown is None else _certificate(shown),
    )


def _certificate(certificate: x509.Certificate) -> PeerCertificate:
    return PeerCertificate(
        _common_name(certificate),
        _alternative_names(certificate),
        certificate.fingerprint(SHA256()).hex(),
    )


def _common_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except UNREADABLE:
        return ""
    return str(names[0].value) if names else ""


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    return tuple(
        str(each.value)
        for each in names
        if isinstance(
            each,
            x509.DNSName
            | x509.IPAddress
            | x509.RFC822Name
            | x509.UniformResourceIdentifier,
        )
    )
