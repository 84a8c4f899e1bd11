"""TLS to Consul: whom to trust, and what to show."""

from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from lbconsul.config.model import ConsulConfig
from lbconsul.errors import ConfigError


def https_policy(config: ConsulConfig) -> "ConsulTLS":
    """How to do TLS with Consul.

    :raises ConfigError: a file cannot be read or does not hold what it must.
    """
    trust = None
    if config.ca_file:
        authorities = _certificates(config.where("ca-file"), config.ca_file)
        trust = trustRootFromCertificates([Certificate(each) for each in authorities])
    shown: dict[str, Any] = {}
    if config.client_cert:
        where = config.where("client-cert")
        own, *chain = _certificates(where, config.client_cert)
        key = (
            _key(config.where("client-key"), config.client_key)
            if config.client_key
            else _key(where, config.client_cert)
        )
        shown = {"certificate": own, "extraCertChain": chain, "privateKey": key}
        _refuse_strangers(config, shown)
    return ConsulTLS(trust, config.verify, shown)


@implementer(IPolicyForHTTPS)
@frozen
class ConsulTLS:
    """TLS as the options say it, for one Consul address after the other."""

    _trust: Any
    _verify: bool
    _shown: dict[str, Any]

    def creatorForNetloc(
        self, hostname: bytes, port: int
    ) -> IOpenSSLClientConnectionCreator:
        """Called by Twisted's `Agent` for each new connection."""
        name = hostname.decode("ascii")
        if self._verify:
            return optionsForClientTLS(
                name,
                trustRoot=self._trust or platformTrust(),
                extraCertificateOptions=self._shown,
            )
        return _Unverified(name, CertificateOptions(**self._shown).getContext())


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class _Unverified:
    """Whoever answers is believed, as ``CONSUL_HTTP_SSL_VERIFY=false`` asks."""

    hostname: str
    context: SSL.Context

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Called by Twisted for each new connection."""
        connection = SSL.Connection(self.context, None)
        # RFC 6066, section 3: an address is no name to ask for.
        if not (isIPAddress(self.hostname) or isIPv6Address(self.hostname)):
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        return connection


def _certificates(where: str, path: str) -> list[crypto.X509]:
    try:
        found = x509.load_pem_x509_certificates(_content(where, path))
    except ValueError:
        raise ConfigError(f"{where} {path}: holds no PEM certificate") from None
    return [crypto.X509.from_cryptography(each) for each in found]


def _key(where: str, path: str) -> crypto.PKey:
    content = _content(where, path)
    try:
        key = load_pem_private_key(content, password=None)
        return crypto.PKey.from_cryptography_key(key)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise ConfigError(
            f"{where} {path}: holds no PEM key, or one under a passphrase"
        ) from None


def _content(where: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{where} {path}: cannot be read: {error.strerror or error}"
        ) from None


def _refuse_strangers(config: ConsulConfig, shown: dict[str, Any]) -> None:
    try:
        CertificateOptions(**shown).getContext()
    except SSL.Error:
        raise ConfigError(
            f"{config.where('client-cert')} {config.client_cert}: the key in"
            f" {config.client_key or config.client_cert} is not its own"
        ) from None
