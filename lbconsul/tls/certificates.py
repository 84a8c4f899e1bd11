"""Certificates of servers, with chain and key, and which one a client gets."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from lbconsul.config.server_names import canonical_name
from lbconsul.text import fit
from lbconsul.tls.certified_key import UNREADABLE, CertifiedKey, read_certified_key
from lbconsul.tls.pem import PEM

#: Days before its end from which on a certificate is worth a warning: those of Let's
#: Encrypt are renewed 30 days before.
WARN_DAYS = 14

_DAY = 86400.0


@frozen(eq=False)
class ServerCertificate:
    """A certificate that a server shows, with what it needs for that."""

    #: The file's path, or another name of where it comes from.
    source: str
    #: The host names that it is for, in lower case, ``*.example.com`` among them.
    names: tuple[str, ...]
    #: From when to when it is valid, in seconds since the epoch.
    not_before: float
    not_after: float
    #: SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: str
    #: When its file was changed, in seconds since the epoch; 0 if there is none.
    changed: float
    certified_key: CertifiedKey

    def is_valid(self, now: float) -> bool:
        """Whether it is valid at a time since the epoch."""
        return self.not_before <= now <= self.not_after

    def days_left(self, now: float) -> float:
        """Days until its end; negative after it."""
        return (self.not_after - now) / _DAY

    def problems(self, now: float) -> list[str]:
        """What is wrong with it, though it can be served: one line for each."""
        found = list(self._problems(now))
        return [f"{self.source}: {each}" for each in found]

    def _problems(self, now: float) -> Iterator[str]:
        if now > self.not_after:
            yield f"the certificate expired on {date_text(self.not_after)}"
        elif self.days_left(now) < WARN_DAYS:
            yield f"the certificate expires soon, on {date_text(self.not_after)}"
        if now < self.not_before:
            yield f"the certificate is not valid before {date_text(self.not_before)}"
        if not self.names:
            yield "the certificate has no host name"
        own = self.certified_key.own
        if not self.certified_key.chain and own.issuer != own.subject:
            issuer = fit(own.issuer.rfc4514_string())
            yield (
                f"the chain is missing: the certificate's issuer {issuer} is not in the"
                " file, and clients that do not know it will refuse the certificate"
            )


def date_text(moment: float) -> str:
    """A time since the epoch, to the minute, for people to read."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def server_certificate(
    pem: PEM, source: str, changed: float = 0, key: PEM | None = None
) -> ServerCertificate:
    """The certificate that fits the key of a PEM text, and its chain.

    `key` is the text with the key if that is another one.

    :raises ConfigError: there is no key, or no certificate of it.
    """
    certified_key = read_certified_key(pem, key)
    own = certified_key.own
    return ServerCertificate(
        source=source,
        names=_names(pem, own),
        not_before=own.not_valid_before_utc.timestamp(),
        not_after=own.not_valid_after_utc.timestamp(),
        fingerprint=own.fingerprint(SHA256()).hex(),
        changed=changed,
        certified_key=certified_key,
    )


def _names(pem: PEM, certificate: x509.Certificate) -> tuple[str, ...]:
    """Its host names: the common name counts only without a subjectAltName."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        found = alternatives.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        found = [str(each.value) for each in common]
    except UNREADABLE:
        raise pem.error("the certificate's names cannot be read") from None
    names = [each.lower().removesuffix(".") for each in found]
    return tuple(each for each in names if canonical_name(each.removeprefix("*.")))


class CertificateStore:
    """Certificates by the server name that a client asks for."""

    def __init__(self, certificates: Iterable[ServerCertificate]) -> None:
        """At least one; a client without a name, or an unknown one, gets the first."""
        self.certificates = tuple(certificates)
        newest_first = sorted(
            self.certificates,
            key=lambda each: (each.not_before, each.changed),
            reverse=True,
        )
        self._by_name: dict[str, list[ServerCertificate]] = {}
        for each in newest_first:
            for name in dict.fromkeys(each.names):
                self._by_name.setdefault(name, []).append(each)

    def find(self, name: str | None, now: float) -> ServerCertificate:
        """The certificate for a name as `canonical_name` returns it, None for none.

        A certificate of the name itself comes before one of a wildcard, a valid one
        before one that is not, and then the newest first.
        """
        fitting = self._fitting(name) if name else []
        if not fitting:
            first = self.certificates[0]
            # A newer one may have the same names.
            fitting = self._by_name[first.names[0]] if first.names else [first]
        return next((each for each in fitting if each.is_valid(now)), fitting[0])

    def _fitting(self, name: str) -> list[ServerCertificate]:
        exact = self._by_name.get(name, [])
        _, _, parent = name.partition(".")
        # A wildcard stands for one label (RFC 9525, section 6.3).
        return exact + self._by_name.get(f"*.{parent}", [])
