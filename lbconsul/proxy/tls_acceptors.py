"""Serve the clients of mappings with TLS, with the certificates in use."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from attrs import Factory, define

from lbconsul.config.model import TLS
from lbconsul.net.sockets import BareSocket
from lbconsul.tls.errors import TLSError

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.tls.server import TLSServer
    from lbconsul.tls.stream import TLSStream


@define(eq=False)
class ReplaceableAcceptor:
    """Serves the clients of mappings with the same TLS options.

    New certificates replace the old ones as a whole; a handshake that has begun goes on
    with those that it began with.
    """

    _server: "TLSServer | None" = None

    @property
    def is_ready(self) -> bool:
        """Whether there are certificates: those of Consul come after the start."""
        return self._server is not None

    def use(self, server: "TLSServer") -> None:
        """Serve clients that come from now on with these certificates."""
        self._server = server

    def accept(self, sock: BareSocket) -> "TLSStream":
        """The stream of a client that has connected; its handshake is still to do.

        :raises TLSError: there are no certificates yet.
        """
        if self._server is None:
            raise TLSError("there are no certificates yet")
        return self._server.accept(sock)


@define(eq=False)
class TLSAcceptors:
    """The acceptors of one process, by the TLS options that name their certificates."""

    _acceptors: dict[TLS, ReplaceableAcceptor] = Factory(dict)

    def of(self, tls: TLS) -> ReplaceableAcceptor | None:
        """The acceptor of mappings with these options; None if they are without TLS."""
        if not tls.certificates:
            return None
        return self._acceptors.setdefault(tls, ReplaceableAcceptor())

    def use(self, tls: TLS, server: "TLSServer") -> None:
        """Serve mappings with these options with these certificates."""
        self._acceptors.setdefault(tls, ReplaceableAcceptor()).use(server)

    def is_ready(self, tls: TLS) -> bool:
        """Whether mappings with these options can serve clients."""
        acceptor = self.of(tls)
        return acceptor is None or acceptor.is_ready

    def keep_only(self, wanted: Collection[TLS]) -> None:
        """Drop the certificates that no mapping names any more."""
        for gone in self._acceptors.keys() - set(wanted):
            del self._acceptors[gone]
