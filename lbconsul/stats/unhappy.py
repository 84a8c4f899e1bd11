"""The last connections and requests of a mapping that went wrong."""

from collections import deque
from heapq import nlargest
from typing import Any, Generic, Protocol, Self, TypeVar

from attrs import Factory, define, evolve, frozen

from lbconsul.balance.instance import Identity
from lbconsul.text import clipped, printable

#: At most this many connections, and as many requests, are kept.
KEPT = 50

#: The most characters kept of a path, of a host, of an error, and of anything else.
_PATH, _HOST, _ERROR, _WORD = 200, 100, 200, 40


class _Timed(Protocol):
    @property
    def time(self) -> float:
        """When it was over, in seconds by the machine's monotonic clock."""


@frozen
class UnhappyRequest:
    """One request that was answered with 5xx, or whose answer was cut."""

    #: When it was over, in seconds by the machine's monotonic clock.
    time: float
    client: str
    method: str
    host: str
    #: Without its query, which may hold secrets.
    path: str
    #: Of the answer; 0 if none was sent.
    status: int
    #: The last instance tried; None if there was none.
    upstream: Identity | None
    #: A termination code, or the reason of an answer of our own.
    reason: str
    retries: int = 0


@frozen
class UnhappyConnection:
    """One connection that went wrong, or several in a row of the same client."""

    #: When it was over, in seconds by the machine's monotonic clock.
    time: float
    client: str
    #: The last instance tried; None if there was none.
    upstream: Identity | None
    #: The termination code.
    termination: str
    #: What the system or OpenSSL said of it; empty if nothing.
    error: str = ""
    #: How many instances were tried before, and did not accept.
    retries: int = 0
    #: From the accept to the end, in seconds.
    seconds: float = 0.0
    count: int = 1

    def repeats(self, other: "UnhappyConnection") -> bool:
        """Whether the same went wrong for the same client, from another port."""
        return (
            self.termination == other.termination
            and self.upstream == other.upstream
            and self.error == other.error
            and _host(self.client) == _host(other.client)
        )


_T = TypeVar("_T", bound=_Timed)


@define(eq=False)
class Unhappy(Generic[_T]):
    """The last of something that went wrong, and how many of it are not reported."""

    #: The oldest first.
    last: "deque[_T]" = Factory(lambda: deque(maxlen=KEPT))
    #: How many there were since the start.
    total: int = 0
    #: How many were added since the last `take_new`; the oldest may be gone.
    unreported: int = 0

    def put(self, one: _T) -> None:
        """Add one whose texts are bounded."""
        self.last.append(one)
        self.total += 1
        self.unreported += 1

    def take_new(self) -> list[_T]:
        """Those that came since the last call, the oldest first."""
        count, self.unreported = min(self.unreported, len(self.last)), 0
        return list(self.last)[len(self.last) - count :]

    def add(self, other: Self) -> None:
        """Add those of another process; the newest of all are kept."""
        self.total += other.total
        if other.last:
            newest = nlargest(KEPT, (*self.last, *other.last), key=_time)
            self.last = deque(reversed(newest), maxlen=KEPT)


@define(eq=False)
class UnhappyRequests(Unhappy[UnhappyRequest]):
    """The last unhappy requests."""

    def note(
        self,
        time: float,
        client: str,
        method: str,
        host: str,
        target: str,
        status: int,
        upstream: Identity | None,
        reason: str,
        retries: int = 0,
    ) -> None:
        """Add a request; its texts are untrusted, and `target` may have a query."""
        self.put(
            UnhappyRequest(
                time,
                client,
                _safe(method, _WORD),
                _safe(host, _HOST),
                _safe(target.partition("?")[0], _PATH),
                status,
                upstream,
                _safe(reason, _WORD),
                retries,
            )
        )


@define(eq=False)
class UnhappyConnections(Unhappy[UnhappyConnection]):
    """The last unhappy connections; a client that repeats itself takes one place."""

    def note(self, connection: UnhappyConnection) -> None:
        """Add a connection, whose error is untrusted."""
        new = evolve(connection, error=_safe(connection.error, _ERROR))
        if self.unreported and self.last and new.repeats(self.last[-1]):
            self.total += 1
            self.last[-1] = evolve(new, count=self.last[-1].count + 1)
        else:
            self.put(new)


def _time(one: Any) -> float:
    return float(one.time)


def _host(client: str) -> str:
    return client.rpartition(":")[0]


def _safe(text: str, most: int) -> str:
    return printable(clipped(text, most))
