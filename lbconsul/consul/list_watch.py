"""A watch of one list: repeats a blocking query whose answer is read as one value."""

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.describe import in_words
from lbconsul.consul.query_loop import FORESEEN, QueryLoop

#: How long an answer is parsed in one turn of the reactor, in seconds.
SLICE = 0.005

Value = TypeVar("Value")

#: Reads an answer, one entry a step; the reactor can run between two steps.
Reading = Generator[None, None, Value]


async def in_slices(clock: IReactorTime, reading: Reading[Value]) -> Value:
    """Read an answer, of which at most `SLICE` in one turn of the reactor."""
    while True:
        until = clock.seconds() + SLICE
        try:
            while clock.seconds() < until:
                next(reading)
        except StopIteration as end:
            value: Value = end.value
            return value
        await deferLater(clock, 0.0)


@define(eq=False)
class ListWatch(Service, Generic[Value]):
    """Watches one list of Consul's, and reports each value that differs from the last.

    After any failure, the last good answer is what counts.  `request` asks a client
    past an index, at an address, for what may be stale; `read` reads a reply, and
    raises `UnusableAnswer` if it is not valid.
    """

    _log = Logger()
    _clock: IReactorTime
    _client: ConsulClient
    _chance: Callable[[], float]
    #: What is watched, for the log.
    name: str
    _request: Callable[[ConsulClient, int, int, bool], Deferred[Reply]]
    _read: Callable[[Reply], Reading[Value]]
    #: Called with the value of an answer if it is not that of the last one.
    _changed: Callable[[Value], None]
    #: Called after each good answer, changed or not.
    _on_answer: Callable[[], object] = lambda: None
    #: Called when Consul begins to fail, with the reason, and with "" when it answers
    #: again.
    _on_trouble: Callable[[str], object] = lambda reason: None
    #: Of the last answer; None before the first.
    known: Value | None = None
    #: Why Consul has no answer at present; empty if it has.
    error: str = ""
    loop: QueryLoop = Factory(
        lambda self: QueryLoop(
            self._clock,
            self._client,
            self._chance,
            self._ask,
            self._succeeded,
            self._failed,
        ),
        takes_self=True,
    )

    def startService(self) -> None:
        super().startService()
        self.loop.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self.loop.stop()

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on; a query in progress is repeated with it."""
        self.loop.use_client(client)

    async def _ask(self, client: ConsulClient, index: int, address: int) -> str | None:
        reply = await self._request(client, index, address, True)
        if self.loop.is_behind(reply.index):
            self.loop.count()
            reply = await self._request(client, 0, address, False)
        self._take(await in_slices(self._clock, self._read(reply)))
        return reply.index

    def _take(self, found: Value) -> None:
        if found != self.known:
            self.known = found
            self._changed(found)

    def _succeeded(self, failures: int) -> None:
        self.error = ""
        if failures:
            self._on_trouble("")
            self._log.info(
                "{name}: Consul answers again, after {failures} failures",
                name=self.name,
                failures=failures,
            )
        self._on_answer()

    def _failed(self, error: Exception, is_new: bool) -> None:
        self.error = in_words(error)
        if not is_new:
            return
        self._on_trouble(self.error)
        if not isinstance(error, FORESEEN):
            self._log.failure("{name}: a bug in lbconsul", name=self.name)
        self._log.warn(
            "{name}: no answer from Consul at {url}: {error}; {meanwhile}",
            name=self.name,
            url=self.loop.where,
            error=self.error,
            meanwhile="waiting for the first answer"
            if self.known is None
            else "the last answer stays in use",
        )
