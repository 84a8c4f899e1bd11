"""Bounds the heads of Consul's answers, which Twisted's HTTP client does not.

Twisted accepts headers without limit, and any number of interim answers (RFC 9110,
section 15.2) before the final one, with a line of log for each.
"""

import re
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IProtocol, IProtocolFactory, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from lbconsul.errors import UnusableAnswer

#: The most bytes and lines of an answer's status line and headers, including those of
#: interim answers.  Consul and a proxy before it send some twenty lines.
HEAD_LIMIT = 64 * 1024
MOST_LINES = 256

#: A head ends with the first empty line.
_END = re.compile(rb"\n\r?\n")

#: The status line (RFC 9112, section 4); the group matches only an interim answer's.
_STATUS = re.compile(rb"HTTP/1\.[01] (?:(1\d\d)|\d{3})[ \r\n]")


@define(eq=False)
class Heads:
    """Holds back the bytes of an answer until its head is complete.

    It drops interim answers.
    """

    _head: bytearray = Factory(bytearray)
    #: Where in the head the search for its end goes on.
    _searched: int = 0
    #: The bytes and lines of the interim answers before this head.
    _bytes: int = 0
    _lines: int = 0
    _is_over: bool = True

    def begin(self) -> None:
        """A request was sent: a head follows."""
        self._head.clear()
        self._searched = self._bytes = self._lines = 0
        self._is_over = False

    def take(self, data: bytes) -> bytes:
        """Take received bytes; return those, with earlier ones, to be passed on.

        :raises UnusableAnswer: they are no HTTP/1 head, or exceed the limits.
        """
        if self._is_over:
            return data
        self._head += data
        while end := _END.search(self._head, self._searched):
            self._bound(end.end())
            status = _STATUS.match(self._head)
            if status is None:
                raise UnusableAnswer("the answer is not HTTP/1")
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
    """A connection of an HTTP client; it aborts at a head beyond the limits."""

    transport: ITCPTransport

    def __init__(self, factory: Any, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._heads = Heads()
        self._why: Failure | None = None

    def writeSequence(self, data: list[bytes]) -> None:  # noqa: N802
        """Send a request: Twisted sends one only after the answer to the last."""
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
    """Wraps an HTTP client's factory: its connections bound the heads of answers.

    A request whose answer's head is invalid or too long fails with `ResponseFailed`
    or `ResponseNeverReceived`; its reason is the `UnusableAnswer`.
    """

    noisy = False
    protocol = _Bounded

    def __init__(self, factory: IProtocolFactory) -> None:
        factory.noisy = False  # type: ignore[attr-defined]  # no line for each
        super().__init__(factory)
