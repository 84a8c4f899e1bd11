"""TLS for the clients of one mapping, from the files that its options name."""

import time
from collections.abc import Callable

from twisted.logger import Logger

from lbconsul.config.model import Mapping
from lbconsul.errors import ConfigError
from lbconsul.net.sockets import BareSocket
from lbconsul.tls.certificates import CertificateStore, load_certificates
from lbconsul.tls.openssl import TLSError
from lbconsul.tls.pem import PEM
from lbconsul.tls.server import ClientVerification, TLSServer
from lbconsul.tls.stream import TLSStream

_now = time.time  # noqa: TID251  certificates are valid by the wall clock


def read_server_tls(mapping: Mapping, now: Callable[[], float] = _now) -> TLSServer:
    """What serves clients with TLS as the options of a mapping and their files say.

    :raises ConfigError: a file cannot be used.
    """
    options = mapping.tls
    certificates = load_certificates(f"{mapping}: tls", options.certificates)
    return TLSServer(
        CertificateStore(certificates),
        now,
        least_version=options.least_version,
        verification=_verification(mapping) if options.client_ca else None,
    )


def _verification(mapping: Mapping) -> ClientVerification:
    options, revoked = mapping.tls, []
    if options.client_crl:
        crl = PEM.read(f"{mapping}: client-crl", options.client_crl)
        revoked = crl.revocation_lists()
    authorities = PEM.read(f"{mapping}: client-ca", options.client_ca).certificates()
    return ClientVerification(
        tuple(authorities), options.client_verify == "required", tuple(revoked)
    )


class FileAcceptor:
    """Serves clients with what the files of a mapping said when it was made.

    The gateway has checked the files before; if they cannot be used all the same, each
    client is told that TLS fails.
    """

    _log = Logger()

    def __init__(self, mapping: Mapping) -> None:
        self._server: TLSServer | None = None
        self._error = ""
        try:
            self._server = read_server_tls(mapping)
        except ConfigError as error:
            self._error = str(error)
            self._log.error("{error}", error=self._error)

    def accept(self, sock: BareSocket) -> TLSStream:
        """The stream of a client that has connected; its handshake is still to do.

        :raises TLSError: there is no usable certificate.
        """
        if self._server is None:
            raise TLSError(self._error)
        return self._server.accept(sock)
