"""A catalog in which each service misbehaves in its own way.

It runs on Twisted's reactor in a thread; its methods are for the other threads.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from tests.support.misbehaving import Scenario, Stage
from tests.support.script_server import Asked, Honest, Script, ScriptServer

Result = TypeVar("Result")

#: What there is to say of a service.
Entries = Callable[[str], Sequence[object]]


@define
class _Service:
    honest: Honest
    script: Script


class FalseConsul:
    """As a context manager it listens on `port`; once in a process."""

    def __init__(self, port: int, services: Sequence[str], entries: Entries) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self.port = port
        self._server = ScriptServer(reactor, self._route)
        self._services: dict[str, _Service] = {}
        for name in services:
            honest = Honest(self._reactor, entries(name))
            self._services[name] = _Service(honest, honest)

    def __enter__(self) -> Self:
        run = self._reactor.run
        self._thread = threading.Thread(target=run, args=(False,), daemon=True)
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._reactor.callFromThread(self._reactor.stop)
        self._thread.join()

    def open(self) -> None:
        """Listen."""
        self._call(lambda: self._server.listen(self.port))

    def close(self) -> None:
        """Refuse new connections, and reset open ones."""
        self._call(lambda: Deferred.fromCoroutine(self._server.close()))

    def asked(self) -> Counter[str]:
        """How often each service was asked about."""
        return Counter(_service(each) for each in list(self._server.asked))

    def misbehave(self, scenarios: dict[str, Scenario]) -> None:
        """Each service in its own way, from now on."""

        def begin() -> None:
            for name, scenario in scenarios.items():
                service = self._services[name]
                stage = Stage(self._reactor, self._server, service.honest)
                service.script = scenario.script(stage)
                service.honest.hand_over(service.script)

        self._call(begin)

    def behave(self, entries: Entries) -> None:
        """All services are honest again, and have news."""

        def end() -> None:
            for name, service in self._services.items():
                service.script = service.honest
                service.honest.headers = {}
                # Ahead of every index that a script may have invented.
                service.honest.index = max(10**17, service.honest.index)
                service.honest.say(entries(name))

        self._call(end)

    def _route(self, asked: Asked) -> None:
        self._services[_service(asked)].script(asked)

    def _call(self, do: Callable[[], Result]) -> Result:
        result: Result = blockingCallFromThread(self._reactor, do)
        return result


def _service(asked: Asked) -> str:
    return asked.target.partition("?")[0].rpartition("/")[2]
