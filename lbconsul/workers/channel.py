"""Length-prefixed messages on the stream between the master and a worker."""

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
    """The default callback: does nothing."""


@implementer(IPushProducer)
class Channel(Int32StringReceiver):
    """One end of the stream: passes on each frame received, and the stream's end.

    `paused` is called once some 64 KiB are written that the other end has not read,
    `resumed` once it has read them.
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
        self._log.error(
            "a frame of {length} bytes is too long: the channel is closed",
            length=length,
        )
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost()

    def finish(self) -> None:
        """Close this end for writing after all that was written; keep reading.

        If the whole stream were closed while the other end still writes, that end would
        take it for broken and might not read the last messages.
        """
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close the stream after all that was written."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._paused()

    def resumeProducing(self) -> None:
        self._resumed()

    def stopProducing(self) -> None:
        """Does nothing: `connectionLost` reports the end of the stream."""
