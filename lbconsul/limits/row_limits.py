"""The limits of one row of a mapping, and what they say to a request or connection."""

import re
from collections import Counter
from collections.abc import Callable
from math import ceil
from mmap import mmap
from typing import NamedTuple, Self

from attrs import Factory, define, frozen

from lbconsul.config.model import Mapping, Place
from lbconsul.config.rate_limit import ROUTE, RateLimit
from lbconsul.limits.rate_table import SIZE, Bucket, RateTable
from lbconsul.limits.request_counts import RequestCount
from lbconsul.limits.shedding import Shedder
from lbconsul.net.cidr import read_address
from lbconsul.stats.termination import Termination


@frozen
class Refusal:
    """Why a request is not served."""

    termination: Termination
    #: Of the answer.
    status: int
    #: Seconds until it may be tried again; 0: as for other answers with this status.
    retry_after: int = 0
    #: The limit, in words.
    error: str = ""


@define(eq=False)
class RateLimiter:
    """One rate limit of a row, for all its clients."""

    limit: RateLimit
    table: RateTable
    #: Names the limit in the table: one with the same terms goes on after a reload.
    _name: bytes
    _field: "re.Pattern[bytes] | None"
    #: What is logged of a request that is refused.
    error: str

    @classmethod
    def of(cls, limit: RateLimit, mapping: Mapping, table: RateTable) -> Self:
        """The limiter of a mapping or route."""
        route = mapping.route if limit.by == ROUTE else limit.route
        terms = limit.count, limit.period, limit.burst, limit.by, limit.header
        name = repr((str(mapping.listen or mapping.service), route, *terms)).encode()
        field = None
        if limit.header:
            field = re.compile(
                rb"(?mi)^%b:([^\r\n]*)" % re.escape(limit.header.encode())
            )
        return cls(limit, table, name, field, f"more than {limit}")

    def bucket(self, address: str, fields: bytes = b"") -> Bucket:
        """The bucket of a client with this address, and this request's field lines.

        A request without the field counts by its client's address.
        """
        limit, client = self.limit, b""
        if self._field is not None:
            client = b", ".join(each.strip() for each in self._field.findall(fields))
            client = client and b"=" + client
        if not client and limit.by != ROUTE:
            client = _network(address, limit.ipv6_prefix)
        return Bucket(self.table, self._name + client, limit.interval, limit.burst)


def _network(address: str, ipv6_prefix: int) -> bytes:
    found = read_address(address)
    if found is None:
        return b"-"  # a UNIX socket
    if found.bits == 32:
        return b"4%x" % found.number
    return b"6%x/%d" % (found.number >> (128 - ipv6_prefix), ipv6_prefix)


class Limiting(NamedTuple):
    """What counts for the limits of rows: in this process, or in all of them."""

    #: The table for rates, which is made when it is needed.
    table: Callable[[], RateTable]
    #: The count of a row's requests.
    requests: Callable[[Mapping], RequestCount]


def own_limiting(secret: bytes = b"") -> Limiting:
    """What counts in this process alone.

    The `secret` is one that clients cannot know; the memory is taken as it is used.
    """
    made = list[RateTable]()

    def table() -> RateTable:
        if not made:
            made.append(RateTable(memoryview(mmap(-1, SIZE)), secret))
        return made[0]

    counts = dict[Place, RequestCount]()
    return Limiting(
        table, lambda mapping: counts.setdefault(mapping.place, RequestCount())
    )


_OVERLOADED = Refusal(
    Termination.OVERLOADED, 503, error="this process lags behind: shed-lag"
)


@define(eq=False)
class RowLimits:
    """The limits of a mapping without its routes, or of a route."""

    _limiters: tuple[RateLimiter, ...]
    #: The requests under way, and how many these may be; None: any number.
    requests: RequestCount | None
    most: int
    shedder: Shedder | None
    #: How often each rate limit was exceeded; it counts by its text.
    exceeded: Counter[str] = Factory(Counter)

    @classmethod
    def of(
        cls,
        mapping: Mapping,
        table: Callable[[], RateTable],
        requests: Callable[[Mapping], RequestCount],
        exceeded: Counter[str],
    ) -> Self | None:
        """Those of a mapping or route; None if it has none.

        Without HTTP, a route does not count what its mapping has counted already.
        """
        limits, is_http = mapping.limits, mapping.mode == "http"
        rates = [
            each for each in limits.rates if is_http or each.route == mapping.route
        ]
        sheds = limits.shed_lag and (is_http or not mapping.route)
        if not (rates or limits.requests or sheds):
            return None
        return cls(
            tuple(RateLimiter.of(each, mapping, table()) for each in rates),
            requests(mapping) if limits.requests else None,
            limits.requests,
            Shedder(limits.shed_lag) if sheds else None,
            exceeded,
        )

    def of_client(self, address: str, fields: bytes = b"") -> "ClientLimits":
        """Those of one client's requests with these field lines."""
        buckets = [each.bucket(address, fields) for each in self._limiters]
        return ClientLimits(self, tuple(zip(buckets, self._limiters, strict=True)))


class ClientLimits:
    """The limits of a row for one client, and for equal requests of its."""

    __slots__ = ("_buckets", "row")

    def __init__(
        self, row: RowLimits, buckets: tuple[tuple[Bucket, RateLimiter], ...]
    ) -> None:
        self.row = row
        self._buckets = buckets

    def refusal(self, now: float) -> Refusal | None:
        """Why the next request, or connection, is refused; None: it is counted.

        It counts among those under way until `RequestCount.end`.
        """
        row = self.row
        shedder = row.shedder
        if shedder is not None and shedder.share and shedder.refuses():
            return _OVERLOADED
        if row.requests is not None and not row.requests.begin(row.most):
            error = f"max-requests={row.most}"
            return Refusal(Termination.REQUEST_LIMIT, 503, error=error)
        for index, (bucket, limiter) in enumerate(self._buckets):
            wait = bucket.take(now)
            if wait:
                row.exceeded[str(limiter.limit)] += 1
                if not limiter.limit.is_dry_run:
                    self._give_back(index)
                    retry_after = max(1, ceil(wait))
                    return Refusal(
                        Termination.RATE_LIMITED, 429, retry_after, limiter.error
                    )
        return None

    def give_back(self) -> None:
        """Forget the last request: it is asked for once more."""
        self._give_back(len(self._buckets))

    def _give_back(self, count: int) -> None:
        if self.row.requests is not None:
            self.row.requests.end()
        for bucket, _ in self._buckets[:count]:
            bucket.give_back()
