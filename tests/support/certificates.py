"""Certificate authorities of our own, and what they issue, as files.

They have all extensions that RFC 5280 asks for: Python's ssl from 3.13 on, and
cryptography, accept no others.
"""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from lbconsul.steps import finish
from lbconsul.tls.certificates import ServerCertificate
from lbconsul.tls.material import reading_certificates, text_certificate

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_IS_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)

#: An alternative name that cryptography cannot read, though OpenSSL can.
UNREADABLE_NAME = x509.UnrecognizedExtension(
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    bytes.fromhex("3007a505a1030c0161"),  # an ediPartyName
)

#: What the key of an authority is for.
_KEY_OF_AUTHORITY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@frozen
class Issued:
    """The paths of a certificate and of its key."""

    cert: str
    key: str


class Authority:
    """A CA whose certificate is in `file`, made by itself or by one above it."""

    def __init__(
        self,
        folder: Path,
        name: str = "authority",
        *,
        above: "Authority | None" = None,
    ) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        issuer = above or self
        own = (
            _builder(self._name, issuer._name, self._key.public_key())
            .add_extension(_IS_AUTHORITY, critical=True)
            .add_extension(_KEY_OF_AUTHORITY, critical=True)
            .add_extension(_subject_id(self._key), critical=False)
            .add_extension(issuer._id, critical=False)
        )
        self.file = str(folder / f"{name}.pem")
        cert = own.sign(issuer._key, SHA256())
        Path(self.file).write_bytes(cert.public_bytes(Encoding.PEM))

    @property
    def _id(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )

    def issue(
        self,
        name: str,
        *addresses: str,
        names: Sequence[str] | None = None,
        begin: timedelta = -timedelta(hours=1),
        end: timedelta = timedelta(days=90),
        key: PrivateKey | None = None,
        also: Sequence[x509.ExtensionType] = (),
    ) -> Issued:
        """A certificate, and its key, for host names and IP addresses.

        `name` is the common name, and that of the files; the host name, too, without
        `names`.  `begin` and `end` are from now on, `also` more extensions.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [
            x509.DNSName(each) for each in ([name] if names is None else names)
        ]
        alternatives += [x509.IPAddress(ip_address(each)) for each in addresses]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_named(name), self._name, key.public_key(), begin, end)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(_subject_id(key), critical=False)
            .add_extension(self._id, critical=False)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        for each in also:
            builder = builder.add_extension(each, critical=False)
        issued = Issued(
            str(self._folder / f"{name}.crt"), str(self._folder / f"{name}.key")
        )
        cert = builder.sign(self._key, SHA256())
        Path(issued.cert).write_bytes(cert.public_bytes(Encoding.PEM))
        Path(issued.key).write_bytes(
            key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
        )
        return issued

    def revoke(self, *issued: Issued, end: timedelta = timedelta(days=1)) -> str:
        """A file that lists these certificates, and no others, as revoked.

        `end`, from now on, is when the next one is due.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - timedelta(hours=1))
            .next_update(now + end)
            .add_extension(self._id, critical=False)
        )
        for each in issued:
            cert = x509.load_pem_x509_certificate(Path(each.cert).read_bytes())
            revoked = x509.RevokedCertificateBuilder(cert.serial_number, now)
            builder = builder.add_revoked_certificate(revoked.build())
        path = Path(self.file).with_suffix(".crl")
        signed = builder.sign(self._key, SHA256())
        path.write_bytes(signed.public_bytes(Encoding.PEM))
        return str(path)


def with_broken_name(path: Path, cert: str, name: str, kind: int = 20) -> str:
    """The certificate, with bytes in place of its common name that are no text.

    Such a string of `kind`, by default a T61String, cryptography cannot read; UTF-8,
    which is 12, OpenSSL does not accept either.
    """
    parsed = x509.load_pem_x509_certificate(Path(cert).read_bytes())
    size = bytes([len(name)])
    found, broken = b"\x0c" + size + name.encode(), bytes([kind]) + size
    der = parsed.public_bytes(Encoding.DER)
    assert found in der
    der = der.replace(found, broken + len(name) * b"\xff")
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    return str(path)


def together(path: Path, *files: str) -> str:
    """One file with the content of several, such as certificate, chain and key."""
    path.write_bytes(b"".join(Path(each).read_bytes() for each in files))
    return str(path)


def load_certificates(where: str, path: str) -> list[ServerCertificate]:
    """The certificates of a PEM file or a folder; `where` is the option."""
    return [
        text_certificate(each) for each in finish(reading_certificates(where, path))
    ]


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _subject_id(key: PrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    begin: timedelta = -timedelta(hours=1),
    end: timedelta = timedelta(days=90),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )
