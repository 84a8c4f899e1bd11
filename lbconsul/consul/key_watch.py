"""A watch of keys: repeats a blocking query to Consul's key-value store."""

from base64 import b64decode
from collections.abc import Callable, Generator

from attrs import Factory, define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.consul.client import ConsulClient
from lbconsul.consul.describe import in_words
from lbconsul.consul.entries import entries
from lbconsul.consul.query_loop import FORESEEN, QueryLoop
from lbconsul.errors import UnusableAnswer
from lbconsul.text import fit

#: How long an answer is parsed in one turn of the reactor, in seconds.
SLICE = 0.005


@frozen
class KeyValue:
    """A key of Consul's store, and its value."""

    key: str
    #: It may be a secret.
    value: bytes = field(repr=False)
    #: The ``ModifyIndex``: it grows with each change.
    index: int = 0


def reading(body: bytes, prefix: str) -> Generator[None, None, tuple[KeyValue, ...]]:
    """The keys of an answer that are `prefix`, or below it as files in a folder.

    One key is parsed a step.  Keys that end in a slash, as those that Consul's own page
    makes for folders, are left out.

    :raises UnusableAnswer: the answer is not valid.
    """
    found = list[KeyValue]()
    folder = f"{prefix}/"
    for entry in entries(body):
        each = _key_value(entry)
        is_below = each.key.startswith(folder) and not each.key.endswith("/")
        if each.key == prefix or is_below:
            found.append(each)
        yield
    return tuple(sorted(found, key=lambda each: each.key))


def _key_value(entry: object) -> KeyValue:
    match entry:
        case {"Key": str(key), "Value": str() | None as value, "ModifyIndex": int(at)}:
            try:
                return KeyValue(key, b64decode(value or "", validate=True), at)
            except ValueError:
                raise UnusableAnswer(f"{fit(key)} is not base64") from None
    raise UnusableAnswer("an entry is not a key with a value")


@define(eq=False)
class KeyWatch(Service):
    """Watches the keys below a prefix, and reports each change.

    After any failure, the last good answer is what counts.
    """

    _log = Logger()
    _clock: IReactorTime
    _client: ConsulClient
    _chance: Callable[[], float]
    prefix: str
    #: Called with the prefix and the keys if they are not those of the last answer.
    _changed: Callable[[str, tuple[KeyValue, ...]], None]
    #: Of the last answer; None before the first.
    _known: tuple[KeyValue, ...] | None = None
    #: Why Consul has no answer at present; empty if it has.
    error: str = ""
    _loop: QueryLoop = Factory(
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
        self._loop.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self._loop.stop()

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on; a query in progress is repeated with it."""
        self._loop.use_client(client)

    async def _ask(self, client: ConsulClient, index: int, address: int) -> str | None:
        reply = await client.ask_keys(self.prefix, index, address)
        if self._loop.is_behind(reply.index):
            self._loop.count()
            reply = await client.ask_keys(self.prefix, 0, address, stale=False)
        reader = reading(reply.body, self.prefix)
        while True:
            until = self._clock.seconds() + SLICE
            try:
                while self._clock.seconds() < until:
                    next(reader)
            except StopIteration as end:
                found: tuple[KeyValue, ...] = end.value
                if reply.filtered and not found:
                    raise UnusableAnswer(
                        "empty, because ACLs hide all keys from the token"
                    ) from None
                self._take(found)
                return reply.index
            await deferLater(self._clock, 0.0)

    def _take(self, found: tuple[KeyValue, ...]) -> None:
        if found != self._known:
            self._known = found
            self._changed(self.prefix, found)

    def _succeeded(self, failures: int) -> None:
        self.error = ""
        if failures:
            self._log.info(
                "consul:{prefix}: Consul answers again, after {failures} failures",
                prefix=self.prefix,
                failures=failures,
            )

    def _failed(self, error: Exception, is_new: bool) -> None:
        self.error = in_words(error)
        if not is_new:
            return
        if not isinstance(error, FORESEEN):
            self._log.failure("consul:{prefix}: a bug in lbconsul", prefix=self.prefix)
        self._log.warn(
            "consul:{prefix}: no answer from Consul at {url}: {error}; {meanwhile}",
            prefix=self.prefix,
            url=self._loop.where,
            error=self.error,
            meanwhile="waiting for the first answer"
            if self._known is None
            else "the last answer stays in use",
        )
