"""A certificate with its chain and its key: what one side of a connection presents."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbconsul.text import listed
from lbconsul.tls.pem import PEM, PrivateKey

#: What is raised for the extensions or names of a certificate that OpenSSL accepts,
#: and cryptography does not.
UNREADABLE = ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType


@frozen
class CertifiedKey:
    """What one side presents: a certificate and its chain; and the key."""

    own: x509.Certificate = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(repr=False)
    key: PrivateKey = field(repr=False)


def read_certified_key(certificate: PEM, key: PEM | None = None) -> CertifiedKey:
    """The certificate of a PEM text whose key is there, too, or in a text of its own.

    :raises ConfigError: the texts have no certificate, no key, or none that fits.
    """
    found = certificate.certificates()
    private = (key or certificate).key()
    try:
        own = _of_key(key or certificate, found, private)
        return CertifiedKey(own, tuple(_chain(own, found)), private)
    except UNREADABLE:
        raise certificate.error("the names in a certificate cannot be read") from None


def _of_key(
    pem: PEM, certificates: Iterable[x509.Certificate], key: PrivateKey
) -> x509.Certificate:
    """The certificate whose private key this is.

    :raises ConfigError: there is none.
    """
    public = _bytes_of(key.public_key())
    for each in certificates:
        with suppress(ValueError, UnsupportedAlgorithm):  # this one has another kind
            if _bytes_of(each.public_key()) == public:
                return each
    names = listed(each.subject.rfc4514_string() for each in certificates)
    raise pem.error(f"the private key does not fit the certificate ({names})")


def _bytes_of(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _chain(
    own: x509.Certificate, found: Iterable[x509.Certificate]
) -> Iterator[x509.Certificate]:
    """The issuers among `found`, in the order in which each signs the one before."""
    left = [each for each in found if each != own]
    last = own
    while last.issuer != last.subject:
        above = next((each for each in left if each.subject == last.issuer), None)
        if above is None:
            return
        left.remove(above)
        yield above
        last = above
