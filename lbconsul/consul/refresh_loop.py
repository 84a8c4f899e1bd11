"""Asks for one service of a fleet when it may have changed: as a query loop, without
an index to block on.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from attrs import Factory, define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.consul.blocking_query import Cursor, index_of
from lbconsul.consul.client import ConsulClient


class LoopOwner(Protocol):
    """Says when to ask, a `fleet.Fleet`."""

    #: When Consul confirmed last that nothing has changed; None: it did not.
    confirmed: float | None

    def begin(self, loop: "RefreshLoop") -> None:
        """Ask for the loop's service from now on."""

    def end(self, loop: "RefreshLoop") -> None:
        """Ask for the loop's service no more."""

    def ask(self, services: Iterable[str]) -> None:
        """Ask for these services soon."""


@define(eq=False)
class RefreshLoop:
    """The parameters are those of `lbconsul.consul.query_loop.QueryLoop`."""

    _clock: IReactorTime
    client: ConsulClient
    _chance: Callable[[], float]
    _ask: Callable[[ConsulClient, int, int], Awaitable[str | None]]
    _on_success: Callable[[int], None]
    _on_failure: Callable[[Exception, bool], None]
    _fleet: LoopOwner
    service: str
    cursor: Cursor = Factory(Cursor)
    #: The number of the client's address for the next query.
    address: int = 0
    #: Whether the service may have changed since it was asked for.
    again: bool = False
    #: The index of the last answer; 0 before the first.
    last: int = 0
    #: Whether this query is asked since something has changed.
    _is_news: bool = False
    _kinds: set[type[Exception]] = Factory(set)
    _is_running: bool = False
    _asking: Deferred[None] | None = None
    _retry: IDelayedCall | None = None

    @property
    def where(self) -> str:
        """The address of Consul for the next query, as text."""
        return self.client.where(self.address)

    @property
    def is_free(self) -> bool:
        """Whether no query is under way."""
        return self._asking is None

    @property
    def confirmed(self) -> float | None:
        """When Consul confirmed last that nothing has changed; None: it did not."""
        return self._fleet.confirmed if self._retry is None else None

    def start(self) -> None:
        """Ask from now on."""
        self._is_running = True
        self._fleet.begin(self)

    def stop(self) -> Deferred[None]:
        """Give up the present query, and ask no more."""
        self._is_running = False
        self._fleet.end(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._asking is not None:
            self._asking.cancel()
        return self._asking or succeed(None)

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on; a query in progress is repeated with it."""
        self.client, self.address, self.cursor = client, 0, Cursor()
        self.last = 0  # another Consul has other indexes
        self._kinds.clear()
        if self._asking is not None:
            self.again = True
            self._asking.cancel()

    def is_current(self, client: ConsulClient) -> bool:
        """Whether an answer or an error of this client is of use."""
        return self._is_running and client is self.client

    def is_behind(self, index: str | None) -> bool:
        """Whether an answer may be older than what it was asked for.

        Its index is lower than that of the answer before; or it is the same, though
        one of Consul's servers has news, which this one may not know yet.
        """
        number = index_of(index)
        return number < self.last or (self._is_news and number == self.last)

    def count(self) -> None:
        """A query is asked out of turn; the fleet bounds how many there are."""

    def ask(self, *, is_news: bool = False) -> Deferred[None]:
        """Called by the fleet: ask once, since something has changed if `is_news`;
        fires when that is over.
        """
        self.again, self._is_news = False, is_news
        self._asking = Deferred.fromCoroutine(self._run())
        return self._asking.addBoth(self._over)

    def _over(self, _: object) -> None:
        self._asking = None
        if self.again and self._is_running:
            self._fleet.ask([self.service])

    async def _run(self) -> None:
        client = self.client
        try:
            index = await self._ask(client, 0, self.address)
        except Exception as error:
            if self.is_current(client):
                self._failed(error)
        else:
            if self.is_current(client):
                failures, self.cursor = self.cursor.failures, Cursor()
                self.last = index_of(index)
                self._kinds.clear()
                self._on_success(failures)

    def _failed(self, error: Exception) -> None:
        is_new = type(error) not in self._kinds
        self._kinds.add(type(error))
        self._on_failure(error, is_new)
        unreached = isinstance(error, ConnectError | DNSLookupError)
        self.cursor = self.cursor.failed(unreached=unreached)
        self.address = (self.address + 1) % self.client.addresses
        if self._retry is None:
            pause = self.cursor.pause(self._chance())
            self._retry = self._clock.callLater(pause, self._again)

    def _again(self) -> None:
        self._retry = None
        self._fleet.ask([self.service])
