"""The heads of Consul's answers, which Twisted's HTTP client does not bound.

It takes header after header for as long as they come, and any number of interim
answers (RFC 9110, section 15.2) before the one that counts, with a line of log each.
"""

import re
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IProtocol, IProtocolFactory, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from lbconsul.errors import UnusableAnswer

#: The most that an answer's status line and headers may hold, in bytes and in lines,
#: those of interim answers counted in.  Consul and a proxy before it send some twenty.
HEAD_LIMIT = 64 * 1024
MOST_LINES = 256

#: A head ends with the first line that is empty.
_END = re.compile(rb"\n\r?\n")

#: The status line (RFC 9112, section 4), and whether it is an interim answer's.
_STATUS = re.compile(rb"HTTP/1\.[01] (?:(1\d\d)|\d{3})[ \r\n]")


@define(eq=False)
class Heads:
    """Keeps back what comes of an answer until its head is whole.

    Interim answers are left out.
    """

    _head: bytearray = Factory(bytearray)
    #: Where the end of the head is still to be looked for.
    _searched: int = 0
    #: What interim answers had before this head.
    _bytes: int = 0
    _lines: int = 0
    _is_over: bool = True

    def begin(self) -> None:
        """A question was put: a head follows."""
        self._head.clear()
        self._searched = self._bytes = self._lines = 0
        self._is_over = False

    def take(self, data: bytes) -> bytes:
        """These bytes came: what of them, and of those before, may be passed on.

        :raises UnusableAnswer: they are no head of HTTP/1, or too long a one.
        """
        if self._is_over:
            return data
        self._head += data
        while end := _END.search(self._head, self._searched):
            self._bound(end.end())
            status = _STATUS.match(self._head)
            if status is None:
                raise UnusableAnswer("it is not HTTP/1")
            if status[1] is None:
                self._is_over = True
                whole = bytes(self._head)
                self._head.clear()
                return whole
            self._bytes += end.end()
            self._lines += self._head.count(b"\n", 0, end.end())
            del self._head[: end.end()]
            self._searched = 0
        self._bound(len(self._head))
        self._searched = max(0, len(self._head) - 2)
        return b""

    def _bound(self, size: int) -> None:
        if self._bytes + size > HEAD_LIMIT:
            raise UnusableAnswer(f"its headers are longer than {HEAD_LIMIT} bytes")
        if self._lines + self._head.count(b"\n", 0, size) > MOST_LINES:
            raise UnusableAnswer(f"its headers have more than {MOST_LINES} lines")


class _Bounded(ProtocolWrapper):
    """The connection of an HTTP client; it ends where a head has no end."""

    transport: ITCPTransport

    def __init__(self, factory: Any, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._heads = Heads()
        self._why: Failure | None = None

    def writeSequence(self, data: list[bytes]) -> None:  # noqa: N802
        """Called to put a question; one comes only after the answer to the last."""
        self._heads.begin()
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        if self._why is not None:
            return
        try:
            data = self._heads.take(data)
        except UnusableAnswer:
            self._why = Failure()
            self.transport.abortConnection()
        else:
            if data:
                super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(self._why or reason)


class BoundedHeads(WrappingFactory):
    """Makes the connections of an HTTP client that bound the heads of answers.

    A question whose answer's head is not to be had fails with `ResponseFailed`, or
    `ResponseNeverReceived`, whose reason says why.
    """

    noisy = False
    protocol = _Bounded

    def __init__(self, factory: IProtocolFactory) -> None:
        factory.noisy = False  # type: ignore[attr-defined]  # no line for each
        super().__init__(factory)
