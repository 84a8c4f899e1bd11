"""Writes a long answer piece by piece: it neither blocks the reactor nor buffers the
answer for a slow client."""

from collections.abc import Iterator
from contextlib import suppress

from attrs import Factory, define
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from lbconsul.admin.documents import BrokenOff
from lbconsul.admin.http_server import cut
from lbconsul.admin.turns import Part, Turns


@implementer(IPushProducer)
@define(eq=False)
class StreamingResponse:
    """Writes the pieces of an answer as the client reads them.

    An empty piece ends the turn without output.  The connection's deadline, not this
    class, limits the total time.
    """

    _log = Logger()
    _turns: Turns
    _request: Request
    _pieces: Iterator[bytes]
    _part: Part = Factory(Part)
    _over: bool = False

    def begin(self) -> None:
        """Start writing."""
        self._request.notifyFinish().addErrback(lambda _: self._leave())
        self._request.registerProducer(self, True)
        self._part = self._turns.take_part(self._write(), self._failed)

    def resumeProducing(self) -> None:
        """Called by the transport: the client reads again."""
        self._part.resume()

    def pauseProducing(self) -> None:
        """Called by the transport: its buffer is full."""
        self._part.pause()

    def stopProducing(self) -> None:
        """Called by the transport: the connection is closed."""
        self._leave()

    def _write(self) -> Iterator[None]:
        for piece in self._pieces:
            if piece:
                self._turns.wrote(len(piece))
                self._request.write(piece)
            yield
        self._over = True
        self._request.unregisterProducer()
        self._request.finish()

    def _failed(self, failure: Failure) -> None:
        """Abort the connection: a client must not take a part for the whole answer."""
        if failure.check(BrokenOff) is None:
            self._log.failure("a bug in lbconsul: an answer is cut off", failure)
        self._leave()
        cut(self._request)

    def _leave(self) -> None:
        if self._over:
            return
        self._over = True
        self._part.stop()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with suppress(ValueError):  # the generator is running
                close()
