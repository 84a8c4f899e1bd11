"""The PEM texts that clients are served TLS with: read from files, and made use of.

They are bytes until then, so that one process can read them for others.
"""

import os
from collections.abc import Callable, Iterable

from attrs import evolve, field, frozen
from cryptography import x509

from lbconsul.config.model import TLS
from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file, unreadable
from lbconsul.steps import Steps
from lbconsul.text import fit
from lbconsul.tls.certificates import (
    CertificateStore,
    ServerCertificate,
    server_certificate,
)
from lbconsul.tls.context import read_authorities
from lbconsul.tls.pem import PEM
from lbconsul.tls.pem_files import file_stamps, key_file, pem_files
from lbconsul.tls.server import ClientVerification, TLSServer, validating

#: The most certificates of one mapping, and the most bytes of their texts.
MOST_CERTIFICATES = 10_000
MOST_BYTES = 32 << 20

#: What the labels of all kinds of private keys end with.
_KEY = b"PRIVATE KEY-----"


@frozen
class PEMText:
    """The text of one PEM file, or of one key of Consul's store."""

    #: The mapping and the option that name it.
    where: str
    #: The file's path, or the key after ``consul:``.
    source: str
    #: It may have a private key.
    content: bytes = field(repr=False)
    #: When it was changed: of two certificates that are alike the later one is used.
    changed: float = 0.0
    #: The text of the key's own file, beside that of the certificate; None without one.
    key: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """The bytes of all its text."""
        return len(self.content) + len(self.key or b"")

    def parse(self) -> PEM:
        """:raises ConfigError: a block has no end."""
        return PEM(f"{self.where} {self.source}", self.content)

    def parse_key(self) -> PEM | None:
        """The key's own file; None without one.

        :raises ConfigError: a block has no end.
        """
        if self.key is None:
            return None
        return PEM(f"{self.where} {key_file(self.source)}", self.key)


@frozen
class Material:
    """All texts that the TLS options of a mapping name."""

    certificates: tuple[PEMText, ...]
    client_ca: PEMText | None = None
    client_crl: PEMText | None = None


def reading(where: str, tls: TLS) -> Steps[Material]:
    """Read all files of TLS options, which are those of a mapping, `where`.

    :raises ConfigError: a file cannot be read, or a folder has none.
    """
    certificates = yield from reading_certificates(f"{where}: tls", tls.certificates)
    return with_authorities(where, tls, certificates)


def reading_certificates(where: str, path: str) -> Steps[tuple[PEMText, ...]]:
    """Read a PEM file, or every ``*.pem`` of a folder in the order of their names; each
    with its key's own file, if it holds none.

    `where` names the option.

    :raises ConfigError: a file cannot be read, or the folder has none.
    """
    texts, total = list[PEMText](), 0
    for file in certificate_files(where, path):
        texts.append(_read_with_key(where, file))
        total += texts[-1].size
        if total > MOST_BYTES:
            raise ConfigError(f"{where} {path}: holds more than {MOST_BYTES} bytes")
        yield True
    return tuple(texts)


def certificate_files(where: str, path: str) -> list[str]:
    """The path of a PEM file, or those of every ``*.pem`` of a folder.

    `where` names the option.

    :raises ConfigError: the folder cannot be read, has none, or too many.
    """
    try:
        files = pem_files(path)
    except OSError as error:
        raise unreadable(f"{where} {path}", error) from None
    if not files:
        raise ConfigError(f"{where} {path}: holds no *.pem file")
    if len(files) > MOST_CERTIFICATES:
        raise ConfigError(
            f"{where} {path}: holds more than {MOST_CERTIFICATES} *.pem files"
        )
    return files


def with_authorities(
    where: str, tls: TLS, certificates: tuple[PEMText, ...]
) -> Material:
    """These certificates, with the files of client authorities that the options name.

    :raises ConfigError: a file cannot be read.
    """
    authorities = [
        _read(f"{where}: {option}", file) if file else None
        for option, file in (
            ("client-ca", tls.client_ca),
            ("client-crl", tls.client_crl),
        )
    ]
    return Material(certificates, *authorities)


def text_certificate(text: PEMText) -> ServerCertificate:
    """The certificate of a text.

    :raises ConfigError: the text is not valid, or its key is not the certificate's.
    """
    return server_certificate(text.parse(), text.source, text.changed, text.parse_key())


def building(
    tls: TLS, material: Material, now: Callable[[], float]
) -> Steps[TLSServer]:
    """Make of the texts what clients are served with; `now` is the wall clock.

    :raises ConfigError: a text is not valid, or its key is not the certificate's.
    """
    certificates: list[ServerCertificate] = []
    for text in material.certificates:
        certificates.append(text_certificate(text))
        yield True
    for _ in validating(certificates):
        yield True
    return TLSServer(
        CertificateStore(certificates),
        now,
        least_version=tls.least_version,
        verification=verification(tls, material),
    )


def verification(tls: TLS, material: Material) -> ClientVerification | None:
    """How clients' certificates are verified; None if they are asked for none.

    :raises ConfigError: a text is not valid.
    """
    if material.client_ca is None:
        return None
    authorities = read_authorities(material.client_ca.parse())
    revoked = tuple(_revocation_lists(material, authorities))
    return ClientVerification(authorities, tls.client_verify == "required", revoked)


def stamping(tls: TLS) -> Steps[object]:
    """What is different once one of the files is: no file is read for it."""
    found: list[object] = []
    for path in (tls.certificates, tls.client_ca, tls.client_crl):
        for stamp in file_stamps(path, keys=path == tls.certificates):
            found.append(stamp)
            yield False
    return found


def _read(where: str, path: str) -> PEMText:
    try:
        changed = os.stat(path).st_mtime
        return PEMText(where, path, read_file(path), changed)
    except OSError as error:
        raise unreadable(f"{where} {path}", error) from None


def _read_with_key(where: str, path: str) -> PEMText:
    text, key = _read(where, path), key_file(path)
    if _KEY in text.content or not os.path.exists(key):
        return text
    own = _read(where, key)
    return evolve(text, key=own.content, changed=max(text.changed, own.changed))


def _revocation_lists(
    material: Material, authorities: Iterable[x509.Certificate]
) -> list[x509.CertificateRevocationList]:
    if material.client_crl is None:
        return []
    pem = material.client_crl.parse()
    lists = pem.revocation_lists()
    issuers = {each.issuer for each in lists}
    for each in authorities:
        if each.subject not in issuers:
            # OpenSSL would refuse every certificate of such an authority.
            name = fit(each.subject.rfc4514_string())
            raise pem.error(f"holds no list of {name}, which is in client-ca")
    return lists
