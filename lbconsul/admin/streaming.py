"""A long answer, written bit by bit: neither at the cost of connections, which wait
for the reactor, nor of memory, if its reader is slow."""

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
    """Writes the pieces of an answer while its reader takes them.

    An empty piece means that there is nothing to be written yet, but that others
    may have their turn.  How long all of it may take is the connection's concern.
    """

    _log = Logger()
    _turns: Turns
    _request: Request
    _pieces: Iterator[bytes]
    _part: Part = Factory(Part)
    _over: bool = False

    def begin(self) -> None:
        """Write all of it, from now on."""
        self._request.notifyFinish().addErrback(lambda _: self._leave())
        self._request.registerProducer(self, True)
        self._part = self._turns.take_part(self._write(), self._failed)

    def resumeProducing(self) -> None:
        """The reader takes more."""
        self._part.resume()

    def pauseProducing(self) -> None:
        """The reader has enough for now."""
        self._part.pause()

    def stopProducing(self) -> None:
        """The reader is gone."""
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
        """Cut it, so that no reader takes a part for the whole."""
        if failure.check(BrokenOff) is None:
            self._log.failure("a bug in lbconsul: an answer broke off", failure)
        self._leave()
        cut(self._request)

    def _leave(self) -> None:
        if self._over:
            return
        self._over = True
        self._part.stop()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with suppress(ValueError):  # it is just being run
                close()
