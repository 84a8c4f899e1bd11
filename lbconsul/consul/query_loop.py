"""The loop of a blocking query: its index, its rate, its backoff, and where it asks."""

from collections.abc import Awaitable, Callable

from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from lbconsul.consul.blocking_query import Cursor, index_of
from lbconsul.consul.client import ConsulClient
from lbconsul.errors import UnusableAnswer
from lbconsul.net.rate_limit import TokenBucket

#: The rate limit of one query while its answer changes all the time: queries a second,
#: and the burst before that.
RATE = 5.0
BURST = 5.0

#: The errors that a query to Consul is known to raise; any other is a bug.
FORESEEN = (
    UnusableAnswer,
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    OSError,
    RequestTransmissionFailed,
    ResponseFailed,
)


def is_unanswered(error: Exception) -> bool:
    """Whether the connection ended before any part of the answer came.

    The server may have closed a kept connection before the query reached it (RFC 9112,
    section 9.3.1).
    """
    if not isinstance(error, RequestTransmissionFailed | ResponseNeverReceived):
        return False
    return all(reason.check(ConnectionClosed) for reason in error.reasons)


@define(eq=False)
class QueryLoop:
    """Asks again and again, from `start` to `stop`.

    `ask` asks a client once, at an index and an address, makes use of the answer, and
    returns the answer's index.  `on_success` is called with the number of failures
    before the answer; `on_failure` with an error, and whether it is the first of its
    kind in this streak.
    """

    _clock: IReactorTime
    client: ConsulClient
    _chance: Callable[[], float]
    _ask: Callable[[ConsulClient, int, int], Awaitable[str | None]]
    _on_success: Callable[[int], None]
    _on_failure: Callable[[Exception, bool], None]
    cursor: Cursor = Factory(Cursor)
    #: The number of the client's address for the next query.
    address: int = 0
    _bucket: TokenBucket = Factory(lambda: TokenBucket(RATE, BURST))
    #: The index of the last answer; an error leaves it.
    _last: int = 0
    #: The kinds of failure in this streak.
    _kinds: set[type[Exception]] = Factory(set)
    #: Whether a query that a connection's end leaves without an answer is repeated at
    #: once: after an answer, since it may have been sent on a connection kept too long.
    _may_repeat: bool = True
    _is_running: bool = False
    _asking: Deferred[None] = Factory(lambda: succeed(None))

    @property
    def where(self) -> str:
        """The address of Consul for the next query, as text."""
        return self.client.where(self.address)

    def start(self) -> None:
        """Ask from now on."""
        self._is_running = True
        self._asking = Deferred.fromCoroutine(self._run())

    def stop(self) -> Deferred[None]:
        """Give up the present query, and ask no more."""
        self._is_running = False
        self._asking.cancel()
        return self._asking

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on; a query in progress is repeated with it."""
        self.client = client
        # Another Consul has other indexes.
        self.address, self.cursor, self._last = 0, Cursor(), 0
        self._may_repeat = True
        self._kinds.clear()
        if self._is_running:
            self._asking.cancel()

    def is_current(self, client: ConsulClient) -> bool:
        """Whether an answer or an error of this client is of use."""
        return self._is_running and client is self.client

    def is_behind(self, index: str | None) -> bool:
        """Whether an answer's index is lower than that of the answer before.

        The server has lost its state, lags behind another one, or has just started and
        not replayed all of its log, in which case the answer is a part of the truth.
        """
        return index_of(index) < self._last

    def count(self) -> None:
        """A query is asked out of turn: it counts towards the rate."""
        self._bucket.take(self._clock.seconds())

    async def _run(self) -> None:
        while self._is_running:
            client = self.client
            try:
                await self._pace()
                index = await self._ask(client, self.cursor.index, self.address)
            except Exception as error:
                # Cancelling a request surfaces as different exceptions.  The flag
                # distinguishes a stop from a failure, and the client a switch to
                # another one.
                if self.is_current(client) and not self._repeats(error):
                    self._failed(error)
            else:
                if self.is_current(client):
                    self._succeeded(index)

    async def _pace(self) -> None:
        pause = self.cursor.pause(self._chance())
        pause = max(pause, self._bucket.take(self._clock.seconds()))
        if pause:
            await deferLater(self._clock, pause)

    def _repeats(self, error: Exception) -> bool:
        """Whether the query is repeated before its error counts as a failure; the
        repetition counts towards the rate.
        """
        may_repeat, self._may_repeat = self._may_repeat, False
        if not (may_repeat and is_unanswered(error)):
            return False
        # The Consul that ended the connection may have lost its indexes.
        self.cursor = Cursor()
        return True

    def _succeeded(self, index: str | None) -> None:
        failures = self.cursor.failures
        self._may_repeat = True
        self._kinds.clear()
        self._last = index_of(index)
        self.cursor = self.cursor.answered(index)
        self._on_success(failures)

    def _failed(self, error: Exception) -> None:
        is_new = type(error) not in self._kinds
        self._kinds.add(type(error))
        self._on_failure(error, is_new)
        self.cursor = self.cursor.failed(
            unreached=isinstance(error, ConnectError | DNSLookupError)
        )
        self.address = (self.address + 1) % self.client.addresses
