"""What an operator may have meant by a name that Consul does not know."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lbconsul.balance.emptiness import fit, listed
from lbconsul.balance.pool_spec import ServiceQuery

#: Consul is asked for the same names again after so long, in seconds: of 2,000
#: mappings that are empty at once it is asked once.
MAX_AGE = 30.0

#: So many names are compared in one turn of the reactor: some 3 ms.
_AT_ONCE = 250

#: More names than these are not compared with.
_MOST_NAMES = 20_000

#: Consul says so, with status 500, of a datacenter that it does not know.
#: https://github.com/hashicorp/consul/blob/v1.8.7/agent/structs/errors.go
NO_DATACENTER = "No path to datacenter"

#: A page of Consul's API: its path, of which datacenter, and for which question.
Page = Callable[[str, str, ServiceQuery], Deferred[bytes]]

_SERVICES, _DATACENTERS = "/v1/catalog/services", "/v1/catalog/datacenters"


@define(eq=False)
class Hints:
    """Asks Consul which names there are: one request at a time, and seldom.

    Where it does not answer, or an ACL hides the names, there is no hint.
    """

    _clock: IReactorTime
    _page: Page
    _lock: DeferredLock = Factory(DeferredLock)
    #: The names by path and datacenter, and when they were asked for.
    _names: dict[tuple[str, str], tuple[float, tuple[str, ...] | None]] = Factory(dict)

    async def about_service(self, question: ServiceQuery) -> str:
        """A sentence on a service of which Consul shows no registration."""
        where = f" in datacenter {question.datacenter}" if question.datacenter else ""
        names = await self._known(_SERVICES, question.datacenter, question)
        if not names:
            return f"Consul shows no service {question.service}{where}"
        if question.service in names:
            if question.filter:
                return f"no instance of {question.service} is kept by its filter"
            return f"Consul lists the service{where}, but shows no instance of it"
        hint = await self._meant(question.service, names)
        return f"Consul has no service {question.service}{where}; {hint}"

    async def about_datacenter(self, question: ServiceQuery) -> str:
        """A sentence on a datacenter that Consul does not know."""
        names = await self._known(_DATACENTERS, "", question)
        unknown = f"Consul has no datacenter {question.datacenter}"
        if not names or question.datacenter in names:
            return unknown
        return f"{unknown}; {await self._meant(question.datacenter, names)}"

    async def _known(
        self, path: str, datacenter: str, question: ServiceQuery
    ) -> tuple[str, ...] | None:
        """The names that there are; None if that is not to be had."""
        await self._lock.acquire()
        try:
            now = self._clock.seconds()
            self._names = {
                key: kept
                for key, kept in self._names.items()
                if now - kept[0] < MAX_AGE
            }
            key = path, datacenter
            if key not in self._names:
                self._names[key] = now, await self._ask(path, datacenter, question)
            return self._names[key][1]
        finally:
            self._lock.release()

    async def _ask(
        self, path: str, datacenter: str, question: ServiceQuery
    ) -> tuple[str, ...] | None:
        try:
            said: Any = json.loads(await self._page(path, datacenter, question))
        except CancelledError:
            raise
        except Exception:  # whatever it is: it is only a hint that is missing then
            return None
        if not isinstance(said, dict | list):
            return None
        # Consul's own service is nobody's mapping, unless there is no other.
        names = [each for each in said if isinstance(each, str)][:_MOST_NAMES]
        return tuple(each for each in names if each != "consul") or tuple(names)

    async def _meant(self, word: str, names: tuple[str, ...]) -> str:
        """Which of the names may be meant, or which there are."""
        best: tuple[float, str] = 0.0, ""
        async for name in self._near(word, names):
            best = max(best, (SequenceMatcher(None, name, word).ratio(), name))
        if best[1]:
            return f"did you mean {fit(best[1])}?"
        return f"there are {listed(names)}"

    async def _near(self, word: str, names: tuple[str, ...]) -> AsyncIterator[str]:
        """Names that look like the word, found in slices; then names that hold it."""
        for first in range(0, len(names), _AT_ONCE):
            if first:
                await deferLater(self._clock, 0)
            some = names[first : first + _AT_ONCE]
            for each in get_close_matches(word, some, 1) or _holding(word, some):
                yield each


def _holding(word: str, names: Iterable[str]) -> list[str]:
    """The shortest name that begins or ends with the word."""
    holding = [each for each in names if each.startswith(word) or each.endswith(word)]
    return sorted(holding, key=len)[:1] if len(word) > 2 else []
