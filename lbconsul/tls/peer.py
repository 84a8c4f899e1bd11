"""The peer of a TLS connection, and what was negotiated with it.  Pure."""

from attrs import frozen


@frozen
class PeerCertificate:
    """What a verified certificate says of its owner."""

    #: The common name of the subject; empty if there is none.
    common_name: str
    #: The alternative names: hosts, IP addresses, mail addresses and URIs.
    alternative_names: tuple[str, ...]
    #: The SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: str


@frozen
class TLSPeer:
    """A client with which a handshake was completed."""

    #: As OpenSSL names them: "TLSv1.3", "TLS_AES_256_GCM_SHA384".
    version: str
    cipher: str
    #: None if it presented none.
    certificate: PeerCertificate | None
