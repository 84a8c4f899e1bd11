"""The admin listener's connections over TLS, whose handshakes take turns.

A handshake costs up to some milliseconds, by the kind of key.  However many clients
begin one, all of them together get a quarter of the reactor's time.
"""

from collections.abc import Iterator
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
)
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.admin.http_server import AdminFactory, Channel
from lbconsul.admin.turns import PROMPT_SLICE, SHARE, Turns
from lbconsul.tls.openssl import reasons
from lbconsul.tls.server import TLSServer


@implementer(IHandshakeListener)
class TLSChannel(Channel):
    """A connection to the admin listener over TLS.

    Its first deadline is for the handshake and the first request.
    """

    #: Whether the handshake is over.
    is_up = False

    def handshakeCompleted(self) -> None:
        """Called by the TLS layer."""
        self.is_up = True

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        error = reason.value
        if not self.is_up and isinstance(error, SSL.Error):
            self.factory.handshake_failed(self, reasons(error))
        super().connectionLost(reason)


class TLSConnection(TLSMemoryBIOProtocol):
    """The TLS side of a connection: what comes of a handshake waits for its turn."""

    factory: "TLSFactory"
    #: What has come and waits; the socket is not read meanwhile.
    _held = b""

    def dataReceived(self, data: bytes) -> None:
        if cast(TLSChannel, self.wrappedProtocol).is_up:
            super().dataReceived(data)
            return
        self._held += data
        cast(IPushProducer, self.transport).pauseProducing()
        self.factory.turns.take_part(self._proceed(), self._not_done)

    def _proceed(self) -> Iterator[None]:
        held, self._held = self._held, b""
        if self.connected:
            # First, since the channel may want to pause it for its own reasons.
            cast(IPushProducer, self.transport).resumeProducing()
            super().dataReceived(held)
        yield

    def _not_done(self, failure: Failure) -> None:
        self.factory.wrappedFactory.failed("a TLS handshake failed", failure)
        self.abortConnection()


@implementer(IOpenSSLServerConnectionCreator)
class TLSFactory(TLSMemoryBIOFactory):
    """Accepts the connections of an `AdminFactory` over TLS."""

    protocol = TLSConnection
    wrappedFactory: AdminFactory

    def __init__(self, factory: AdminFactory, server: TLSServer) -> None:
        factory.new_channel = TLSChannel
        super().__init__(self, False, factory, factory.clock)
        #: What clients are served with that come from now on.
        self.server = server
        self.turns = Turns(factory.clock, PROMPT_SLICE, SHARE)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Called by Twisted for each connection."""
        return self.server.in_memory()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # type: ignore[override]
        """Called for each connection; None closes it."""
        channel = self.wrappedFactory.buildProtocol(addr)
        return None if channel is None else self.protocol(self, channel)
