"""A long answer, written bit by bit: neither at the cost of connections, which wait
for the reactor, nor of memory, if its reader is slow."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from attrs import define
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from lbconsul.admin.site import cut

#: For how long one answer may hold the reactor, in seconds, before others have
#: their turn.
SLICE = 0.005

#: How long a reader may take nothing before it is given up, in seconds.
PATIENCE = 60.0


@implementer(IPushProducer)
@define(eq=False)
class Pour:
    """Writes the pieces of an answer while its reader takes them.

    An empty piece means that there is nothing to be written yet, but that others
    may have their turn.
    """

    _log = Logger()
    _reactor: IReactorTime
    _request: Request
    _pieces: Iterator[bytes]
    _call: Any = None
    _deadline: Any = None
    _over: bool = False

    def begin(self) -> None:
        """Write all of it, from now on."""
        self._request.notifyFinish().addErrback(lambda _: self._leave())
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """The reader takes more."""
        self._cancel()
        if not self._over:
            self._call = self._reactor.callLater(0, self._write)

    def pauseProducing(self) -> None:
        """The reader has enough for now."""
        self._cancel()
        if not self._over:
            self._deadline = self._reactor.callLater(PATIENCE, self._give_up)

    def stopProducing(self) -> None:
        """The reader is gone."""
        self._leave()

    def _write(self) -> None:
        self._call = None
        until = self._reactor.seconds() + SLICE
        try:
            for piece in self._pieces:
                if piece:
                    self._request.write(piece)
                if self._deadline is not None or self._over:
                    return
                if self._reactor.seconds() >= until:
                    self.resumeProducing()
                    return
        except Exception:
            self._log.failure("a bug in lbconsul: an answer broke off")
            self._give_up()
            return
        self._finish()

    def _finish(self) -> None:
        self._over = True
        self._request.unregisterProducer()
        self._request.finish()

    def _give_up(self) -> None:
        """Cut it, so that nobody takes a part for the whole."""
        self._leave()
        cut(self._request)

    def _leave(self) -> None:
        self._over = True
        self._cancel()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with suppress(ValueError):  # it is just being run
                close()

    def _cancel(self) -> None:
        for call in (self._call, self._deadline):
            if call is not None and call.active():
                call.cancel()
        self._call = self._deadline = None
