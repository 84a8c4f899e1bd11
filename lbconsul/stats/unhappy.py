"""The last requests of a mapping that went wrong."""

from collections import deque
from collections.abc import Iterable
from heapq import nlargest

from attrs import Factory, define, frozen

from lbconsul.balance.instance import Identity
from lbconsul.text import clipped, printable

#: At most this many requests are kept.
KEPT = 50

#: The most characters kept of a path, of a host, and of anything else.
_PATH, _HOST, _WORD = 200, 100, 40


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


@define(eq=False)
class UnhappyRequests:
    """The last unhappy requests, and how many of them are not reported yet."""

    #: The oldest first.
    last: deque[UnhappyRequest] = Factory(lambda: deque(maxlen=KEPT))
    #: How many were added since the last `take_new`; the oldest may be gone.
    unreported: int = 0

    def add(
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

    def put(self, request: UnhappyRequest) -> None:
        """Add a request whose texts are bounded."""
        self.last.append(request)
        self.unreported += 1

    def take_new(self) -> list[UnhappyRequest]:
        """Those that came since the last call, the oldest first."""
        count, self.unreported = min(self.unreported, len(self.last)), 0
        return list(self.last)[len(self.last) - count :]

    def add_all(self, others: Iterable[UnhappyRequest]) -> None:
        """Add those of another process; the newest of all are kept."""
        newest = nlargest(KEPT, (*self.last, *others), key=lambda each: each.time)
        self.last = deque(reversed(newest), maxlen=KEPT)


def _safe(text: str, most: int) -> str:
    return printable(clipped(text, most))
