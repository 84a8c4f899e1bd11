"""Web servers that come, go, rest, crash and recover, as chance has it."""

import random
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from tests.end_to_end.registrar import Registrar
from tests.support.web_server import WebServer


class State(Enum):
    """What one server is at."""

    OUT = "neither running nor registered"
    IN = "running and registered"
    RESTING = "in maintenance"
    LEAVING = "deregistered, and ending once it is idle"
    DEAD = "killed, and still registered"


class Kill(NamedTuple):
    """One kill -9: whose, when it began, and when the server was gone."""

    server: str
    begun: float
    gone: float


class Fleet:
    """The servers of one service, and one change to them after the other.

    At least two are always in, and no more than one is dead: a gateway that
    tries three instances for a connection then always finds one.
    """

    #: Every kind of change there is.
    CHANGES = frozenset(
        {"join", "leave", "see_off", "rest", "wake", "kill", "restart", "bury"}
    )

    def __init__(
        self,
        service: str,
        servers: list[WebServer],
        registrar: Registrar,
        chance: random.Random,
    ) -> None:
        self._service = service
        self._registrar = registrar
        self.chance = chance
        self._states = dict.fromkeys(servers, State.OUT)
        self.kills: list[Kill] = []
        #: How often each kind of change was made.
        self.changes: Counter[str] = Counter()

    def begin(self, count: int) -> None:
        """Let so many servers be in."""
        for server in list(self._states)[:count]:
            self._join(server)

    def change(self) -> None:
        """Make one change that is possible now, any with the same chance."""
        possible = [
            (change, server)
            for server, state in self._states.items()
            for change in self._possible(state)
        ]
        change, server = self.chance.choice(possible)
        change(server)
        self.changes[change.__name__.strip("_")] += 1

    def _possible(self, state: State) -> list[Callable[[WebServer], None]]:
        counts = Counter(self._states.values())
        if state is State.OUT:
            return [self._join]
        if state is State.RESTING:
            return [self._wake]
        if state is State.LEAVING:
            return [self._see_off]
        if state is State.DEAD:
            return [self._restart, self._bury]
        if counts[State.IN] <= 2:
            return []
        return [self._leave, self._rest, *([] if counts[State.DEAD] else [self._kill])]

    def _join(self, server: WebServer) -> None:
        server.start()
        server.wait_until_listening()
        self._registrar.add(self._service, server)
        self._states[server] = State.IN

    def _leave(self, server: WebServer) -> None:
        self._registrar.remove(self._id(server))
        server.terminate()
        self._states[server] = State.LEAVING

    def _see_off(self, server: WebServer) -> None:
        server.wait_until_gone()
        self._states[server] = State.OUT

    def _rest(self, server: WebServer) -> None:
        self._registrar.maintain(self._id(server), True)
        self._states[server] = State.RESTING

    def _wake(self, server: WebServer) -> None:
        self._registrar.maintain(self._id(server), False)
        self._states[server] = State.IN

    def _kill(self, server: WebServer) -> None:
        begun = time.monotonic()
        server.kill()
        self.kills.append(Kill(server.name, begun, time.monotonic()))
        self._states[server] = State.DEAD

    def _restart(self, server: WebServer) -> None:
        server.start()
        server.wait_until_listening()
        self._states[server] = State.IN

    def _bury(self, server: WebServer) -> None:
        self._registrar.remove(self._id(server))
        self._states[server] = State.OUT

    def _id(self, server: WebServer) -> str:
        return f"{self._service}-{server.name}"
