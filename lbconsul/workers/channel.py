"""Frames: how a master and a worker speak over the stream between them."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.workers.messages import MAX_FRAME


def _ignore() -> None:
    """Nobody wants to know."""


@implementer(IPushProducer)
class Channel(Int32StringReceiver):
    """One end of the stream: passes on each frame that comes, and the end.

    `paused` and `resumed` tell when more was written than the other end has
    read, some 64 KiB, and when that is over.
    """

    _log = Logger()
    MAX_LENGTH = MAX_FRAME
    transport: Any

    def __init__(
        self,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
        paused: Callable[[], None] = _ignore,
        resumed: Callable[[], None] = _ignore,
    ) -> None:
        self._received = received
        self._lost = lost
        self._paused = paused
        self._resumed = resumed

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def stringReceived(self, string: bytes) -> None:
        self._received(string)

    def lengthLimitExceeded(self, length: int) -> None:
        self._log.error("no frame is {length} bytes long: this is none", length=length)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost()

    def finish(self) -> None:
        """Say no more, once all that was written is on its way; go on hearing.

        Were the stream closed while the other end still speaks, that would take
        it for broken, and might not read our last words.
        """
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """End the stream, once all that was written is read."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._paused()

    def resumeProducing(self) -> None:
        self._resumed()

    def stopProducing(self) -> None:
        """The stream is lost; we are told so anyway."""
