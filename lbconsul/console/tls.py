"""TLS with a gateway's admin listener, as a command speaks it."""

import ssl
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from attrs import frozen

from lbconsul.config.sources import SourcedText
from lbconsul.process.files import read_file, unreadable

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@frozen
class VerifiedTLS:
    """Verifies that the server's certificate is valid, and for the host asked for."""

    context: ssl.SSLContext

    def connection(self, host: str, port: int, timeout: float) -> HTTPConnection:
        """A connection that is not connected yet."""
        return HTTPSConnection(host, port, timeout=timeout, context=self.context)


@frozen
class PinnedTLS:
    """Verifies that the server's certificate is one of these, which are DER."""

    context: ssl.SSLContext
    known: frozenset[bytes]

    def connection(self, host: str, port: int, timeout: float) -> HTTPConnection:
        """A connection that is not connected yet."""
        return _PinnedConnection(host, port, timeout, self.context, self.known)


class _PinnedConnection(HTTPSConnection):
    def __init__(
        self,
        host: str,
        port: int,
        timeout: float,
        context: ssl.SSLContext,
        known: frozenset[bytes],
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._known = known

    def connect(self) -> None:
        super().connect()
        shown = self.sock.getpeercert(binary_form=True)
        if shown not in self._known:
            self.close()
            raise ValueError("its certificate is not that of LBCONSUL_ADMIN_TLS")


def verified(ca: SourcedText | None, cert: SourcedText | None) -> VerifiedTLS:
    """Trust the authorities of a PEM file, or without one those of the system.

    :raises ConfigError: a file cannot be used.
    """
    context = ssl.create_default_context()
    if ca is not None:
        context = ssl.create_default_context(cadata=_certificates_of(ca))
    _present(context, cert)
    return VerifiedTLS(context)


def pinned(tls: SourcedText, cert: SourcedText | None) -> PinnedTLS:
    """Trust the certificates that a gateway serves, from its file or folder.

    :raises ConfigError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _present(context, cert)
    try:
        known = frozenset(map(ssl.PEM_cert_to_DER_cert, _served(tls)))
    except ValueError:  # what is between the lines is not base64
        known = frozenset()
    if not known:
        raise tls.wrong("must be a PEM file with certificates, or a folder of them")
    return PinnedTLS(context, known)


def _present(context: ssl.SSLContext, cert: SourcedText | None) -> None:
    """Present a client's certificate, whose key is in the same file or beside it."""
    if cert is None:
        return
    _read(cert, cert.text)
    beside = f"{cert.text}.key"
    try:
        context.load_cert_chain(cert.text, beside if Path(beside).exists() else None)
    except OSError as error:
        if not isinstance(error, ssl.SSLError):
            raise unreadable(f"{cert.where} {beside}", error) from None
        raise cert.wrong(
            "must be a PEM file with a certificate and its key, or with the key in a"
            " file of the same name with .key behind it"
        ) from None


def _certificates_of(ca: SourcedText) -> str:
    found = list(_blocks(_read(ca, ca.text)))
    text = "\n".join(found)
    try:
        if found:
            ssl.create_default_context(cadata=text)
            return text
    except (ssl.SSLError, ValueError):
        pass
    raise ca.wrong("must be a PEM file with certificates")


def _served(tls: SourcedText) -> Iterable[str]:
    place = Path(tls.text)
    try:
        files = sorted(place.glob("[!.]*.pem")) if place.is_dir() else [place]
    except OSError as error:
        raise unreadable(f"{tls.where} {tls.text}", error) from None
    for each in files:
        yield from _blocks(_read(tls, str(each)))


def _blocks(text: str) -> Iterable[str]:
    """The certificates of a PEM text."""
    for part in text.split(_BEGIN)[1:]:
        inner, end, _ = part.partition(_END)
        if end:
            yield f"{_BEGIN}{inner}{_END}\n"


def _read(said: SourcedText, path: str) -> str:
    try:
        return read_file(Path(path)).decode("ascii", "replace")
    except OSError as error:
        raise unreadable(f"{said.where} {path}", error) from None
