"""The dev catalog as a program of its own: prints its port, ends with its input.

usage: python -m tests.support.dev_catalog [SERVICE...]
"""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from lbconsul.dev.service import DevCatalog
from tests.support.http_api import Answer, ask
from tests.support.in_reactor import input_ended
from tests.support.program import OwnProgram
from tests.support.waiting import PATIENCE


class DevCatalogProcess(OwnProgram):
    """That program, run beside the tests; asked as a `ConsulAgent` is."""

    def __init__(self, *services: str) -> None:
        module = "tests.support.dev_catalog"
        super().__init__([sys.executable, "-m", module, *services])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.end(timeout=PATIENCE)
        finally:
            super().__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.said)

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask it one question: (status, headers, parsed JSON or text)."""
        return ask(self.port, method, path, body, headers)


async def serve(reactor: Any, services: Sequence[str]) -> None:
    """Run the catalog on any free port until the standard input ends."""
    catalog = DevCatalog(reactor, "127.0.0.1", 0, services)
    catalog.privilegedStartService()
    catalog.startService()
    print(catalog.port, flush=True)
    await input_ended(reactor)
    await catalog.stopService()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(serve(reactor, sys.argv[1:])))
