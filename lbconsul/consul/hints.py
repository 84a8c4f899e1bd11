"""Suggests the name that an operator may have meant when Consul does not know it."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.text import fit, listed

#: How long a list of names is reused, in seconds: 2,000 mappings that are empty at
#: the same time make one request.
MAX_AGE = 30.0

#: The number of names that are compared in one turn of the reactor: some 3 ms.
_AT_ONCE = 250

#: The most names that are compared.
_MOST_NAMES = 20_000

#: Consul's text, with status 500, for a datacenter that it does not know.
#: https://github.com/hashicorp/consul/blob/v1.8.7/agent/structs/errors.go
NO_DATACENTER = "No path to datacenter"

#: Requests a page of Consul's API: its path, the datacenter, and the query for which
#: it is needed.
Page = Callable[[str, str, ServiceQuery], Deferred[bytes]]

_SERVICES, _DATACENTERS = "/v1/catalog/services", "/v1/catalog/datacenters"


@define(eq=False)
class Hints:
    """Compares unknown names with those in Consul: one request at a time, and seldom.

    There is no hint if Consul does not answer, or an ACL hides the names.
    """

    _clock: IReactorTime
    _page: Page
    _lock: DeferredLock = Factory(DeferredLock)
    #: The names by path and datacenter, and the time of their request.
    _names: dict[tuple[str, str], tuple[float, tuple[str, ...] | None]] = Factory(dict)

    async def about_service(self, query: ServiceQuery) -> str:
        """A clause on a service without any visible instance, for logs and status."""
        where = f" in datacenter {query.datacenter}" if query.datacenter else ""
        names = await self._known(_SERVICES, query.datacenter, query)
        if not names:
            return f"Consul shows no service {query.service}{where}"
        if query.service in names:
            if query.filter:
                return f"no instance of {query.service} is kept by its filter"
            return f"Consul lists the service{where}, but shows no instance of it"
        hint = await self._meant(query.service, names)
        return f"Consul has no service {query.service}{where}; {hint}"

    async def about_datacenter(self, query: ServiceQuery) -> str:
        """A clause on a datacenter that Consul does not know, for logs and status."""
        names = await self._known(_DATACENTERS, "", query)
        unknown = f"Consul has no datacenter {query.datacenter}"
        if not names or query.datacenter in names:
            return unknown
        return f"{unknown}; {await self._meant(query.datacenter, names)}"

    async def _known(
        self, path: str, datacenter: str, query: ServiceQuery
    ) -> tuple[str, ...] | None:
        """The names at this path, at most `MAX_AGE` old; None if the request failed."""
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
                self._names[key] = now, await self._ask(path, datacenter, query)
            return self._names[key][1]
        finally:
            self._lock.release()

    async def _ask(
        self, path: str, datacenter: str, query: ServiceQuery
    ) -> tuple[str, ...] | None:
        try:
            document: Any = json.loads(await self._page(path, datacenter, query))
        except CancelledError:
            raise
        except Exception:  # any failure costs only the hint
            return None
        if not isinstance(document, dict | list):
            return None
        # No mapping means Consul's own service, unless it is the only one.
        names = [each for each in document if isinstance(each, str)][:_MOST_NAMES]
        return tuple(each for each in names if each != "consul") or tuple(names)

    async def _meant(self, word: str, names: tuple[str, ...]) -> str:
        """The name that is most like the word, or else a list of the names."""
        best: tuple[float, str] = 0.0, ""
        async for name in self._near(word, names):
            best = max(best, (SequenceMatcher(None, name, word).ratio(), name))
        if best[1]:
            return f"did you mean {fit(best[1])}?"
        return f"there are {listed(names)}"

    async def _near(self, word: str, names: tuple[str, ...]) -> AsyncIterator[str]:
        """The best candidate of each slice: a similar name, or else a longer one.

        A longer name begins or ends with the word.  The reactor runs between slices.
        """
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
