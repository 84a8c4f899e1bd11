"""Asks one DNS server for the addresses of one name.

The transport is not that of twisted.names.  Its `Resolver` never asks a second server
when the first one fails (SERVFAIL, REFUSED), and keeps a name pending for ever when it
cannot open a socket.  It does not compare an answer with its query, and does not notice
that a server's port is closed.
"""

import errno
import os
import socket
from collections.abc import Container
from typing import Any, NoReturn

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
)
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.consul.dns_messages import (
    MOST_ANSWER,
    ServerFailed,
    addresses,
    answers_query,
    decoded,
    encoded,
)

#: The number of queries that share one UDP socket, and so one source port (RFC 5452,
#: 4.5); the next ones get another socket, at a port that the kernel chooses at random.
#: A socket is closed as soon as no query waits for its answer.
QUERIES_A_SOCKET = 50

#: The most datagrams that are read in one turn of the reactor.
_A_TURN = 20

#: The errors of a query for which the next server is asked.
FAILURES = (
    ServerFailed,
    TimeoutError,
    OSError,
    ConnectError,
    ConnectionClosed,
)


@define(eq=False)
class DNSServer:
    """One DNS server: asked over UDP, and over TCP when an answer is truncated.

    `reactor` provides `IReactorTime`, `IReactorFDSet` and `IReactorTCP`.
    """

    _reactor: Any
    host: str
    _port: int = dns.PORT
    _socket: "_Socket | None" = None
    #: How many queries in a row timed out, and the time of the last timeout.
    silent: int = 0
    silent_since: float = 0.0

    async def ask(
        self, name: str, kind: int, timeout: float, *, use_tcp: bool = False
    ) -> list[str]:
        """The addresses of a name in records of `kind` (A or AAAA); empty for none.

        `name` is absolute and encoded.  Each transport gets `timeout` seconds.

        :raises NoSuchName: the name does not exist.
        :raises FAILURES: the server did not answer, or not this query.
        """
        query = dns.Query(name.encode("ascii"), kind)
        try:
            return await self._ask(query, timeout, use_tcp)
        except TimeoutError:
            self.silent += 1
            self.silent_since = self._reactor.seconds()
            raise

    async def _ask(self, query: dns.Query, timeout: float, use_tcp: bool) -> list[str]:
        short: list[str] = []
        if not use_tcp:
            message = await self._timed(self._over_udp(query), timeout)
            self.silent = 0
            found = addresses(message, query)
            if not message.trunc:
                return found
            short = found
        try:
            message = await self._timed(self._over_tcp(query, timeout), timeout)
        except FAILURES:
            if short:  # a truncated list of addresses is better than none
                return short
            raise
        self.silent = 0
        return addresses(message, query)

    def _timed(
        self, asked: "Deferred[dns.Message]", timeout: float
    ) -> "Deferred[dns.Message]":
        return asked.addTimeout(timeout, self._reactor, too_late)

    def _over_udp(self, query: dns.Query) -> "Deferred[dns.Message]":
        if self._socket is None or self._socket.is_spent:
            self._socket = _Socket(self._reactor, self.host, self._port)
        return self._socket.ask(query)

    def _over_tcp(self, query: dns.Query, timeout: float) -> "Deferred[dns.Message]":
        kind = TCP6ClientEndpoint if ":" in self.host else TCP4ClientEndpoint
        endpoint = kind(self._reactor, self.host, self._port, timeout)
        return Deferred.fromCoroutine(_over_tcp(endpoint, query))


@implementer(IReadDescriptor)
@define(eq=False)
class _Socket:
    """A connected UDP socket.

    The kernel drops datagrams of other senders, and reports a closed port of the
    server.  Twisted's UDP port would log two lines for each socket.
    """

    _reactor: Any
    _host: str
    _port: int
    is_spent: bool = False
    _asked: int = 0
    _sock: socket.socket | None = None
    _waiting: "dict[int, tuple[dns.Query, Deferred[dns.Message]]]" = Factory(dict)

    def ask(self, query: dns.Query) -> "Deferred[dns.Message]":
        """Send a query; fires with its answer.  Cancelling it drops the query."""
        answer: Deferred[dns.Message] = Deferred(lambda _: self._forget(number))
        number = _new_number(self._waiting)
        self._waiting[number] = query, answer
        self._asked += 1
        self.is_spent = self._asked >= QUERIES_A_SOCKET
        try:
            self._open().send(encoded(number, query))
        except OSError as error:
            self._forget(number)
            answer.errback(error)
        return answer

    def _open(self) -> socket.socket:
        if self._sock is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            self._sock = socket.socket(family, kind)
            self._sock.connect((self._host, self._port))
            self._reactor.addReader(self)
        return self._sock

    def fileno(self) -> int:
        """The descriptor that the reactor polls; -1 if the socket is closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """The log prefix that the reactor asks for at each event."""
        return "dns"

    def doRead(self) -> None:
        """The reactor found the socket readable: read at most `_A_TURN` datagrams."""
        for _ in range(_A_TURN):
            if self._sock is None:
                return
            try:
                data = self._sock.recv(MOST_ANSWER)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            self._read(data)

    def connectionLost(self, reason: Failure) -> None:
        """The server's port is closed, or the reactor ends: all queries fail."""
        code = errno.ECONNREFUSED
        if self._sock is not None:
            code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or code
        self._fail(OSError(code, os.strerror(code)))

    def _read(self, data: bytes) -> None:
        message = decoded(data)
        if message is None or message.id not in self._waiting:
            return
        query, answer = self._waiting[message.id]
        if answers_query(message, query):
            self._forget(message.id)
            answer.callback(message)

    def _fail(self, error: OSError) -> None:
        for number, (_, answer) in list(self._waiting.items()):
            self._forget(number)
            answer.errback(error)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)
        if not self._waiting:
            self.is_spent = True
            sock, self._sock = self._sock, None
            if sock is not None:
                self._reactor.removeReader(self)
                sock.close()


class _Stream(Int16StringReceiver):
    """One query over TCP (RFC 7766)."""

    MAX_LENGTH = MOST_ANSWER

    def __init__(self, query: dns.Query) -> None:
        self._query = query
        self._number = _new_number(())
        self.answer: Deferred[dns.Message] = Deferred(lambda _: self._hang_up())

    def connectionMade(self) -> None:
        self.sendString(encoded(self._number, self._query))

    def stringReceived(self, string: bytes) -> None:
        message = decoded(string)
        if self.answer.called:
            return
        if message is None or message.id != self._number:
            self.answer.errback(ServerFailed("malformed answer"))
        elif not answers_query(message, self._query):
            self.answer.errback(ServerFailed("answer to another query"))
        else:
            self.answer.callback(message)
        self._hang_up()

    def lengthLimitExceeded(self, length: int) -> None:
        if not self.answer.called:
            self.answer.errback(ServerFailed(f"answer of {length} bytes"))
        self._hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(reason)

    def _hang_up(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class _Streams(ProtocolFactory):
    noisy = False

    def __init__(self, query: dns.Query) -> None:
        self._query = query

    def buildProtocol(self, addr: object) -> _Stream:
        return _Stream(self._query)


async def _over_tcp(
    endpoint: TCP4ClientEndpoint | TCP6ClientEndpoint, query: dns.Query
) -> dns.Message:
    stream: Any = await endpoint.connect(_Streams(query))
    answer: dns.Message = await stream.answer
    return answer


def _new_number(taken: Container[int]) -> int:
    """A random id for a query, which is hard to guess."""
    while True:
        number = dns.randomSource()
        if number not in taken:
            return number


def too_late(result: object, seconds: float) -> NoReturn:
    """What a `Deferred` calls that has no result within `seconds`."""
    raise TimeoutError(f"no answer within {seconds:.0f} s")
