"""Serves TLS with certificates that are chosen by server name.

The suites are in the server's order, but a client that prefers ChaCha20, because it has
no AES in hardware, gets it.

Sessions are resumed by tickets only: of clients of TLS 1.2 that want none, OpenSSL
would keep 20,480 sessions, a KiB each, for every certificate.  pyOpenSSL has no call
for the tickets' keys: they are random for each `TLSServer`, so that a ticket of another
process, or of before a reload, leads to a full handshake.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import evolve, field, frozen
from cryptography import x509
from OpenSSL import SSL, crypto

from lbconsul.config.server_names import canonical_name
from lbconsul.errors import ConfigError
from lbconsul.net.sockets import BareSocket
from lbconsul.text import fit
from lbconsul.tls.certificates import CertificateStore, ServerCertificate, date_text
from lbconsul.tls.context import new_context, trust, use_certificate
from lbconsul.tls.openssl import reasons, share_store
from lbconsul.tls.stream import TLSStream

#: SSL_OP_PRIORITIZE_CHACHA, which pyOpenSSL has no name for.
_PRIORITIZE_CHACHA = 1 << 21

_OPTIONS = SSL.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA

#: Without one OpenSSL resumes no session that has a client's certificate.
_SESSION_ID = b"lbconsul"

#: Seconds before the end of a list of revoked certificates from which on it is worth a
#: warning; of one that is in use for less than four days, its last quarter.
_SOON = 86400.0


@frozen
class ClientVerification:
    """How the certificates of clients are verified."""

    authorities: tuple[x509.Certificate, ...] = field(repr=False)
    #: Whether a client without a certificate is refused.
    is_required: bool = True
    #: Each authority has a list here, or there is none at all.
    revoked: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False)

    def is_valid(self, now: float) -> bool:
        """Whether no list is out of date at a time since the epoch."""
        return all(now <= until for _, _, until in self._ending())

    def problems(self, now: float) -> Iterator[str]:
        """Why no client is let in, or soon will be, at a time since the epoch: one line
        for each list.
        """
        for issuer, since, until in self._ending():
            if until < now:
                yield f"the list of {issuer} is out of date since {date_text(until)}"
            elif until - now < min(_SOON, (until - since) / 4):
                yield f"the list of {issuer} is out of date soon, on {date_text(until)}"

    def _ending(self) -> Iterator[tuple[str, float, float]]:
        """The lists that end: whose each is, from when it is, and until when."""
        for each in self.revoked:
            until = each.next_update_utc
            if until is not None:
                issuer = fit(each.issuer.rfc4514_string())
                yield issuer, each.last_update_utc.timestamp(), until.timestamp()


class TLSServer:
    """Serves TLS with certificates that are chosen by server name."""

    def __init__(
        self,
        store: CertificateStore,
        now: Callable[[], float],
        *,
        least_version: str = "1.2",
        verification: ClientVerification | None = None,
        protocols: tuple[bytes, ...] = (b"http/1.1",),
    ) -> None:
        """
        :param store: certificates that `validating` has found valid.
        :param now: the wall clock, in seconds since the epoch.
        :param least_version: ``1.2`` or ``1.3``.
        :param protocols: what ALPN may agree on, the best first.
        """
        self._store = store
        self._now = now
        self._least_version = least_version
        self._verification = verification
        self._protocols = protocols
        self._contexts: dict[ServerCertificate, SSL.Context] = {}
        self._default = self._context_of(store.find(None, now()))

    @property
    def verification(self) -> ClientVerification | None:
        """How clients' certificates are verified; None if they are asked for none."""
        return self._verification

    @property
    def certificates(self) -> tuple[ServerCertificate, ...]:
        """All certificates."""
        return self._store.certificates

    def accept(self, sock: BareSocket) -> TLSStream:
        """The stream of a client that has connected; its handshake is still to do."""
        connection = SSL.Connection(self._default, sock)  # type: ignore[arg-type]
        connection.set_accept_state()
        return TLSStream(connection, sock)

    def in_memory(self) -> SSL.Connection:
        """The server's side for a client whose bytes the caller passes on."""
        return SSL.Connection(self._default, None)

    def _context_of(self, certificate: ServerCertificate) -> SSL.Context:
        """The certificate's context, which is made when it is first asked for."""
        context = self._contexts.get(certificate)
        if context is None:
            context = self._contexts[certificate] = self._make(certificate)
        return context

    def _make(self, certificate: ServerCertificate) -> SSL.Context:
        context = new_context(self._least_version)
        context.set_options(_OPTIONS)
        context.set_session_id(_SESSION_ID)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_alpn_select_callback(self._choose_protocol)
        if self._verification is not None:
            first = next(iter(self._contexts.values()), None)
            _verify_clients(context, self._verification, first)
        if len(self._store.certificates) > 1:
            context.set_tlsext_servername_callback(self._choose_certificate)
        use_certificate(context, certificate.certified_key)
        return context

    def _choose_certificate(self, connection: SSL.Connection) -> None:
        """OpenSSL has read the ClientHello, with a server name or without."""
        sent = connection.get_servername() or b""
        name = canonical_name(sent.decode("ascii", "replace"))
        context = self._context_of(self._store.find(name, self._now()))
        if context is not self._default:
            connection.set_context(context)

    def _choose_protocol(self, connection: SSL.Connection, offered: list[bytes]) -> Any:
        for each in self._protocols:
            if each in offered:
                return each
        return SSL.NO_OVERLAPPING_PROTOCOLS


def validating(certificates: Iterable[ServerCertificate]) -> Iterator[None]:
    """Validate certificates, one a step: whether OpenSSL can use each.

    :raises ConfigError: it refuses one, such as one whose key is too short.
    """
    # One context for those with the same chain: it takes most of the time.
    contexts: dict[tuple[x509.Certificate, ...], SSL.Context] = {}
    for each in certificates:
        certified_key = each.certified_key
        context = contexts.get(certified_key.chain)
        try:
            if context is None:
                context = SSL.Context(SSL.TLS_METHOD)
                contexts[certified_key.chain] = context
                use_certificate(context, certified_key)
            else:
                use_certificate(context, evolve(certified_key, chain=()))
        except SSL.Error as error:
            raise ConfigError(f"{each.source}: OpenSSL: {reasons(error)}") from None
        yield


def _verify_clients(
    context: SSL.Context, how: ClientVerification, first: SSL.Context | None
) -> None:
    """Verify clients, as a first context of the same server does, if there is one.

    A long revocation list for each of many certificates would fill the memory, hence
    the common store.
    """
    for each in how.authorities:
        context.add_client_ca(each)
    if first is None or not share_store(context, first):
        _fill_store(context, how)
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if how.is_required else 0
    context.set_verify(SSL.VERIFY_PEER | required)


def _fill_store(context: SSL.Context, how: ClientVerification) -> None:
    trust(context, how.authorities)
    store = context.get_cert_store()
    assert store is not None
    for revoked in how.revoked:
        store.add_crl(revoked)
    if how.revoked:
        # As HAProxy and nginx do it: of the authorities above the first one, too.
        flags = crypto.X509StoreFlags
        store.set_flags(flags.CRL_CHECK | flags.CRL_CHECK_ALL)
