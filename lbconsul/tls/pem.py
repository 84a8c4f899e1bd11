"""Reads certificates, keys and revocation lists from PEM texts (RFC 7468).

Each error is one line: option, file, line of the file, and what is wrong.  None holds
anything of a key.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lbconsul.errors import ConfigError
from lbconsul.process.files import read_file, unreadable

#: A key that TLS can sign with.
PrivateKey = (
    EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey | Ed448PrivateKey
)

Part = TypeVar("Part")

_BOUNDARY = re.compile(rb"^-----(BEGIN|END) ([^-\r\n]+)-----[ \t]*\r?$", re.MULTILINE)

_CERTIFICATES = {"CERTIFICATE", "X509 CERTIFICATE"}

#: How a key under a passphrase begins, in two formats (RFC 5958 and RFC 1421).
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED|-----\s+Proc-Type: *4, *ENCRYPTED")


@frozen
class _Block:
    """One encapsulated text of a file."""

    label: str
    #: The line of its beginning, from 1.
    line: int
    text: bytes = field(repr=False)


class PEM:
    """The blocks of a PEM text, in any order."""

    def __init__(self, name: str, content: bytes) -> None:
        """
        :param name: the option and the file or key, as an error shows them.
        :raises ConfigError: a block has no end.
        """
        self._name = name
        self._blocks = list(self._split(content))

    @classmethod
    def read(cls, where: str, path: str) -> "PEM":
        """The blocks of a file; `where` is the option that names it.

        :raises ConfigError: the file cannot be read, or a block has no end.
        """
        name = f"{where} {path}"
        try:
            return cls(name, read_file(path))
        except OSError as error:
            raise unreadable(name, error) from None

    def certificates(self) -> list[x509.Certificate]:
        """All certificates.

        :raises ConfigError: there is none, or one is not valid.
        """
        found = list(
            self._parsed(_CERTIFICATES, "certificate", x509.load_pem_x509_certificate)
        )
        if not found:
            raise self.error("holds no PEM certificate")
        return found

    def key(self) -> PrivateKey:
        """The first private key.

        :raises ConfigError: there is none, it is not valid, or under a passphrase.
        """
        labels = {each.label for each in self._blocks}
        keys = {each for each in labels if each.endswith("PRIVATE KEY")}
        for key in self._parsed(keys, "private key", _load_key):
            return key
        raise self.error("holds no PEM private key")

    def revocation_lists(self) -> list[x509.CertificateRevocationList]:
        """All certificate revocation lists.

        :raises ConfigError: there is none, or one is not valid.
        """
        found = list(self._parsed({"X509 CRL"}, "CRL", x509.load_pem_x509_crl))
        if not found:
            raise self.error("holds no PEM certificate revocation list")
        return found

    def error(self, what: str, line: int = 0) -> ConfigError:
        """The error that says what is wrong with the file, or with a line of it."""
        place = f", line {line}" if line else ""
        return ConfigError(f"{self._name}{place}: {what}")

    def _split(self, content: bytes) -> Iterator[_Block]:
        begin: tuple[bytes, int, int] | None = None
        line, counted = 1, 0
        for match in _BOUNDARY.finditer(content):
            line += content.count(b"\n", counted, match.start())
            counted = match.start()
            kind, label = match.groups()
            if kind == b"BEGIN":
                if begin is not None:
                    break
                begin = label, line, counted
            elif begin is None or begin[0] != label:
                raise self.error(f"END {_shown(label)} without its BEGIN", line)
            else:
                text = content[begin[2] : match.end()] + b"\n"
                yield _Block(_shown(label), begin[1], text)
                begin = None
        if begin is not None:
            raise self.error(f"BEGIN {_shown(begin[0])} without its END", begin[1])

    def _parsed(
        self, labels: set[str], what: str, load: Callable[[bytes], Part]
    ) -> Iterator[Part]:
        for block in self._blocks:
            if block.label not in labels:
                continue
            if _ENCRYPTED.search(block.text):
                raise self.error(
                    f"the {what} is under a passphrase; store it without one",
                    block.line,
                )
            try:
                yield load(block.text)
            except Exception:  # of many kinds, with parts of the file in their texts
                raise self.error(f"no valid {what}", block.line) from None


def _load_key(text: bytes) -> PrivateKey:
    # To validate an RSA key takes 80 ms with 2048 bits and 600 ms with 4096, and the
    # reactor would stand still for a folder of them.
    key = load_pem_private_key(text, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise ValueError("not for TLS")
    return key


def _shown(label: bytes) -> str:
    return label.decode("ascii", "replace")
