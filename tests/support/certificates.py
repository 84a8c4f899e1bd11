"""Certificate authorities of our own, and what they issue, as files."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


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
        own = _builder(self._name, issuer._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = str(folder / f"{name}.pem")
        cert = own.sign(issuer._key, SHA256())
        Path(self.file).write_bytes(cert.public_bytes(Encoding.PEM))

    def issue(self, name: str, *addresses: str) -> Issued:
        """A certificate, and its key, for a host name and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(ip_address(each)) for each in addresses]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        cert = (
            _builder(_named(name), self._name, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, SHA256())
        )
        issued = Issued(
            str(self._folder / f"{name}.crt"), str(self._folder / f"{name}.key")
        )
        Path(issued.cert).write_bytes(cert.public_bytes(Encoding.PEM))
        Path(issued.key).write_bytes(
            key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
        )
        return issued


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
