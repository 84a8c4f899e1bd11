"""TLS to Consul: trusted authorities, client certificate and verification."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
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

from lbconsul.config.consul import ConsulConfig
from lbconsul.errors import ConfigError
from lbconsul.process.files import unreadable
from lbconsul.tls.context import client_certificate, read_authorities
from lbconsul.tls.pem import PEM


def https_policy(config: ConsulConfig) -> "ConsulTLS":
    """The TLS settings of the connections to Consul.

    :raises ConfigError: a file cannot be read, or holds no certificate or key, or the
        client's key does not fit its certificate.
    """
    trust = None
    authorities = _authorities(config)
    if authorities:
        trust = trustRootFromCertificates([Certificate(each) for each in authorities])
    shown = _shown(config) if config.client_cert else {}
    return ConsulTLS(trust, config.verify, shown, config.tls_server_name)


@implementer(IPolicyForHTTPS)
@frozen
class ConsulTLS:
    """Makes the TLS settings for each Consul address from the options."""

    _trust: Any
    _verify: bool
    _shown: dict[str, Any]
    #: The name for SNI and verification; empty for the address's host.
    _name: str = ""

    def creatorForNetloc(
        self, hostname: bytes, port: int
    ) -> IOpenSSLClientConnectionCreator:
        """Twisted's `Agent` needs a new connection: the TLS settings for its host."""
        name = self._name or hostname.decode("ascii")
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
    """TLS without verification of the peer, for ``CONSUL_HTTP_SSL_VERIFY=false``."""

    hostname: str
    context: SSL.Context

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Twisted opens a new connection: its TLS state, with SNI for a host name."""
        connection = SSL.Connection(self.context, None)
        # SNI must not hold an IP address (RFC 6066, section 3).
        if not (isIPAddress(self.hostname) or isIPv6Address(self.hostname)):
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        return connection


def authority_files(config: ConsulConfig) -> list[str]:
    """The files with the trusted authorities; empty for those of the system.

    As in Consul's own tools, the directory counts only without a file.  It includes
    its subdirectories, but not those behind symbolic links (hashicorp/go-rootcerts).

    :raises ConfigError: the directory cannot be read, or holds no file.
    """
    if config.ca_file or not config.ca_path:
        return [config.ca_file] if config.ca_file else []
    where = f"{config.where('ca-path')} {config.ca_path}"
    try:
        paths = sorted(_walk(Path(config.ca_path)))
    except OSError as error:
        raise unreadable(where, error) from None
    if not paths:
        raise ConfigError(f"{where}: holds no file")
    return [str(each) for each in paths]


def _walk(folder: Path) -> Iterator[Path]:
    for each in folder.iterdir():
        if each.is_dir():
            if not each.is_symlink():
                yield from _walk(each)
        else:
            yield each


def _authorities(config: ConsulConfig) -> list[crypto.X509]:
    where = config.where("ca-file" if config.ca_file else "ca-path")
    files = authority_files(config)
    return [each for path in files for each in _certificates(PEM.read(where, path))]


def _certificates(pem: PEM) -> list[crypto.X509]:
    return [crypto.X509.from_cryptography(each) for each in read_authorities(pem)]


def _shown(config: ConsulConfig) -> dict[str, Any]:
    """The client's certificate, as Twisted takes it."""
    pem = PEM.read(config.where("client-cert"), config.client_cert)
    key = (
        PEM.read(config.where("client-key"), config.client_key)
        if config.client_key
        else None
    )
    shown = client_certificate(pem, key)
    return {
        "certificate": crypto.X509.from_cryptography(shown.own),
        "extraCertChain": [crypto.X509.from_cryptography(c) for c in shown.chain],
        "privateKey": crypto.PKey.from_cryptography_key(shown.key),
    }
