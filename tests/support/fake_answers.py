"""What Consul has said beside instances, as a test says."""

import json
from collections.abc import Collection

from attrs import Factory, define
from twisted.internet.defer import Deferred, fail, succeed

from lbconsul.balance.pool_spec import ServiceQuery


@define(eq=False)
class FakeAnswers:
    """Watches of a Consul that has these pages, by path and datacenter."""

    pages: dict[tuple[str, str], object] = Factory(dict)
    left_out: dict[ServiceQuery, Collection[str]] = Factory(dict)
    errors: dict[ServiceQuery, str] = Factory(dict)
    #: The pages that were asked for, and those whose answer the test gives later.
    asked: list[tuple[str, str]] = Factory(list)
    waiting: list[Deferred[bytes]] | None = None

    def skipped(self, query: ServiceQuery) -> Collection[str]:
        return self.left_out.get(query, ())

    def error(self, query: ServiceQuery) -> str:
        return self.errors.get(query, "")

    def page(self, path: str, datacenter: str, query: ServiceQuery) -> Deferred[bytes]:
        self.asked.append((path, datacenter))
        if self.waiting is not None:
            waiting: Deferred[bytes] = Deferred()
            self.waiting.append(waiting)
            return waiting
        said = self.pages.get((path, datacenter), OSError("no answer"))
        if isinstance(said, Exception):
            return fail(said)
        return succeed(said if isinstance(said, bytes) else json.dumps(said).encode())
