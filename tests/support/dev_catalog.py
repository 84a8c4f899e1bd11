"""The dev catalog as a program of its own: prints its port, ends with its input.

usage: python -m tests.support.dev_catalog [SERVICE...]
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.python.failure import Failure

from lbconsul.dev.service import DevCatalog
from tests.support.binaries import REPOSITORY
from tests.support.http_api import Answer, ask


class DevCatalogProcess:
    """That program, run beside the tests; asked as a `ConsulAgent` is."""

    def __init__(self, *services: str) -> None:
        self._services = services

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dev_catalog", *self._services],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._process.communicate(timeout=10)
        finally:
            self._process.kill()
        assert self._process.returncode == 0

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask it one question: (status, headers, parsed JSON or text)."""
        return ask(self.port, method, path, body, headers)


class UntilItsEnd(Protocol):
    """Reads its input and notes the end: whoever started us is done with us."""

    def __init__(self, ended: Deferred[None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ended.callback(None)


async def serve(reactor: Any, services: Sequence[str]) -> None:
    """Run the catalog on any free port until the standard input ends."""
    catalog = DevCatalog(reactor, "127.0.0.1", 0, services)
    catalog.privilegedStartService()
    catalog.startService()
    print(catalog.port, flush=True)
    ended: Deferred[None] = Deferred()
    StandardIO(UntilItsEnd(ended), reactor=reactor)
    await ended
    await catalog.stopService()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(serve(reactor, sys.argv[1:])))
