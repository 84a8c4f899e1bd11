"""Contexts of OpenSSL, for servers and clients.

The versions, suites and groups are those of Mozilla's intermediate configuration
(Server Side TLS 6.0), without its hybrid group.
"""

from collections.abc import Iterable

from cryptography import x509
from OpenSSL import SSL, crypto

from lbconsul.tls.certified_key import CertifiedKey, read_certified_key
from lbconsul.tls.openssl import reasons, set_groups
from lbconsul.tls.pem import PEM

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

#: The suites of TLS 1.2 and of TLS 1.3.
_SUITES_1_2 = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    b":ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    b":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SUITES_1_3 = (
    b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)
_GROUPS = "X25519:P-256:P-384"


def new_context(least_version: str) -> SSL.Context:
    """A context without certificates or authorities, for TLS from 1.2 or 1.3 on."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_VERSIONS[least_version])
    context.set_cipher_list(_SUITES_1_2)
    context.set_tls13_ciphersuites(_SUITES_1_3)
    set_groups(context, _GROUPS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # An idle connection keeps no buffers, which are 34 KiB.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def use_certificate(context: SSL.Context, certified_key: CertifiedKey) -> None:
    """Present a certificate to the peer.

    :raises SSL.Error: OpenSSL refuses it, such as one whose key is too short.
    """
    context.use_certificate(certified_key.own)
    context.use_privatekey(certified_key.key)
    context.check_privatekey()
    for each in certified_key.chain:
        context.add_extra_chain_cert(each)


def read_authorities(pem: PEM) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, for `trust`.

    :raises ConfigError: there is none, or one is not valid.
    """
    found = tuple(pem.certificates())
    for each in found:
        try:
            crypto.X509.from_cryptography(each)
        except crypto.Error as error:
            raise pem.error(f"OpenSSL: {reasons(error)}") from None
    return found


def trust(context: SSL.Context, authorities: Iterable[x509.Certificate]) -> None:
    """Verify the peer's certificate against these authorities."""
    store = context.get_cert_store()
    assert store is not None
    for each in authorities:
        store.add_cert(crypto.X509.from_cryptography(each))


def client_certificate(certificate: PEM, key: PEM | None = None) -> CertifiedKey:
    """A client's certificate and key, from one PEM text or from one each.

    :raises ConfigError: the texts have no certificate, no key, or none that fits, or
        OpenSSL refuses them.
    """
    certified_key = read_certified_key(certificate, key)
    try:
        use_certificate(SSL.Context(SSL.TLS_METHOD), certified_key)
    except SSL.Error as error:
        raise certificate.error(f"OpenSSL: {reasons(error)}") from None
    return certified_key
