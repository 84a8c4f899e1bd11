"""TLS to upstreams: connects, and verifies their certificates."""

from collections.abc import Callable, Hashable
from ipaddress import ip_address

from cryptography import x509
from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from service_identity.exceptions import CertificateError

from lbconsul.config.server_names import canonical_name
from lbconsul.net.sockets import BareSocket
from lbconsul.tls.certified_key import CertifiedKey
from lbconsul.tls.context import new_context, trust, use_certificate
from lbconsul.tls.errors import TLSError
from lbconsul.tls.openssl import expect_host
from lbconsul.tls.stream import TLSStream

_LEAST_VERSION = "1.2"

#: Most sessions that a `TLSClient` keeps, one for each upstream.
_MOST_SESSIONS = 1024


class TLSClient:
    """Connects with TLS, verifies the server's certificate, and resumes sessions."""

    def __init__(
        self,
        *,
        authorities: tuple[x509.Certificate, ...] | None = None,
        verify: bool = True,
        certificate: CertifiedKey | None = None,
    ) -> None:
        """
        :param authorities: the trusted authorities; None for those of the system.
        :param verify: whether to verify the peer's certificate and its name.
        :param certificate: what is presented to servers that ask for a certificate, as
            `client_certificate` reads it.
        """
        self._verify = verify
        self._sessions: dict[Hashable, SSL.Session] = {}
        self._context = context = new_context(_LEAST_VERSION)
        if not verify:
            context.set_verify(SSL.VERIFY_NONE)
        else:
            context.set_verify(SSL.VERIFY_PEER)
            if authorities is None:
                context.set_default_verify_paths()
            else:
                trust(context, authorities)
        if certificate is not None:
            use_certificate(context, certificate)

    def connect(self, sock: BareSocket, host: str, peer: Hashable = None) -> TLSStream:
        """The stream to a host by a socket that is connected to it.

        Its handshake is still to do, and fails if `host`, a name or an IP address, is
        not what the certificate is for.  A session of an earlier connection with the
        same host and `peer` is resumed.
        """
        connection = SSL.Connection(self._context, sock)  # type: ignore[arg-type]
        connection.set_connect_state()
        address, name = _packed(host), canonical_name(host)
        if name is not None:  # SNI has no IP addresses (RFC 6066, section 3)
            host = name
            connection.set_tlsext_host_name(host.encode("ascii"))
        key = host, peer
        if (session := self._sessions.get(key)) is not None:
            connection.set_session(session)
        expected = ""
        if self._verify and not expect_host(connection, host, address):
            expected = host
        return _ClientStream(
            connection, sock, lambda made: self._keep(key, made), expected
        )

    def _keep(self, key: Hashable, session: SSL.Session) -> None:
        self._sessions.pop(key, None)
        if len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[key] = session


def _packed(host: str) -> bytes | None:
    """The bytes of an IP address; None for a host name."""
    try:
        return ip_address(host).packed
    except ValueError:
        return None


class _ClientStream(TLSStream):
    """A stream to a server, whose session is kept for the next one."""

    __slots__ = ("_expected", "_keep")

    def __init__(
        self,
        connection: SSL.Connection,
        sock: BareSocket,
        keep: Callable[[SSL.Session], None],
        expected: str,
    ) -> None:
        super().__init__(connection, sock)
        self._keep = keep
        #: The host to compare the certificate with; empty if OpenSSL does so.
        self._expected = expected

    def handshake(self) -> None:
        super().handshake()
        if self._expected:
            try:
                _compare(self.connection, self._expected)
            except (VerificationError, CertificateError):
                text = f"the certificate is not for {self._expected}"
                raise self._broken_by(TLSError(text)) from None

    def close(self) -> None:
        # Only now: with TLS 1.3 tickets come after the handshake.
        if self._is_up and not self._failure and not self._is_abortive:
            session = self.connection.get_session()
            if session is not None:
                self._keep(session)
        super().close()


def _compare(connection: SSL.Connection, host: str) -> None:
    """:raises VerificationError, CertificateError: it is for other hosts, or none."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None, "there is none without VERIFY_PEER alone"
    if _packed(host) is None:
        verify_certificate_hostname(certificate, host)
    else:
        verify_certificate_ip_address(certificate, host)
