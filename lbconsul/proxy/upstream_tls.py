"""TLS to the upstreams of one mapping; its files are read again when they change."""

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.instance import Instance
from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.net.sockets import BareSocket
from lbconsul.text import quoted
from lbconsul.tls.client import TLSClient
from lbconsul.tls.context import client_certificate, read_authorities
from lbconsul.tls.errors import TLSError
from lbconsul.tls.pem import PEM
from lbconsul.tls.pem_files import file_stamp
from lbconsul.tls.stream import TLSStream

#: Most often that is looked whether files have changed, in seconds.
LOOK_EVERY = 1.0


def read_upstream_tls(mapping: Mapping) -> TLSClient:
    """What the options of a mapping and their files say.

    :raises ConfigError: a file cannot be used.
    """
    options = mapping.upstream_tls
    authorities = certificate = None
    if options.ca:
        authorities = read_authorities(PEM.read(f"{mapping}: upstream-ca", options.ca))
    if options.cert:
        cert = PEM.read(f"{mapping}: upstream-cert", options.cert)
        key = None
        if options.key:
            key = PEM.read(f"{mapping}: upstream-key", options.key)
        certificate = client_certificate(cert, key)
    return TLSClient(
        authorities=authorities, verify=options.verify, certificate=certificate
    )


class UpstreamConnector:
    """Connects to upstreams with TLS, as the options of a mapping say.

    Files that cannot be used any more leave what was read before in use.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, mapping: Mapping) -> None:
        self._clock = clock
        self._mapping = mapping
        options = mapping.upstream_tls
        self._files = [each for each in (options.ca, options.cert, options.key) if each]
        self._client: TLSClient | None = None
        #: Why there is none.
        self._error = ""
        self._read()

    def connect(self, sock: BareSocket, instance: Instance) -> TLSStream:
        """The stream to an instance on a connected socket; its handshake is to do.

        :raises OSError: no usable file was ever found, or the instance has no name.
        """
        if self._clock.seconds() - self._looked_at >= LOOK_EVERY:
            self._look()
        if self._client is None:
            raise TLSError(self._error)
        host = self._mapping.upstream_tls.server_name or instance.host
        if host.startswith("/") or not host.isascii():
            raise TLSError(f"{quoted(host)} is no host: set upstream-server-name")
        return self._client.connect(sock, host, instance.identity)

    def _look(self) -> None:
        """Read the files again if they have changed."""
        self._looked_at = self._clock.seconds()
        if self._stamps != self._stamps_now():
            self._read()

    def _read(self) -> None:
        self._looked_at, self._stamps = self._clock.seconds(), self._stamps_now()
        try:
            self._client = read_upstream_tls(self._mapping)
        except ConfigError as error:
            self._error = str(error)
            self._log.warn(
                "{error}{use}",
                error=self._error,
                use="; what was read before stays in use" if self._client else "",
            )

    def _stamps_now(self) -> list[object]:
        return [file_stamp(each) for each in self._files]
