"""The statistics of one mapping: counters and histograms that only grow."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Self

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.stats.histogram import DurationHistogram
from lbconsul.stats.http import HTTPStats
from lbconsul.stats.unhappy import UnhappyConnections
from lbconsul.stats.upstream import (
    CONNECT,
    FIRST_BYTE,
    RECENT,
    UpstreamStats,
    halves,
)

#: Upper bounds of the histogram of whole connections, in seconds.
CONNECTION = (
    0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0,
)  # fmt: skip

#: The weight of the latest value in a moving average.
_LATEST = 0.1

#: If upstreams send data on at most this fraction of the connections, they are not
#: expected to send any.
_ANSWERED = 0.1

#: With at most this many accounts, `tidy` keeps all of them.
CROWD = 1000


@define(eq=False)
class MappingStats:
    """The statistics of one mapping, across changes of its options.

    The bytes of a connection count while it is open, at each call of `moved`.
    """

    accepted: int = 0
    received: int = 0
    sent: int = 0
    #: Connections by their termination code.
    endings: Counter[str] = Factory(Counter)
    #: How often each rate limit was exceeded, by its text; dry runs count as well.
    exceeded: Counter[str] = Factory(Counter)
    connect: DurationHistogram = Factory(lambda: DurationHistogram(CONNECT))
    first_byte: DurationHistogram = Factory(lambda: DurationHistogram(FIRST_BYTE))
    connection: DurationHistogram = Factory(lambda: DurationHistogram(CONNECTION))
    accounts: dict[Identity, UpstreamStats] = Factory(dict)
    unhappy: UnhappyConnections = Factory(UnhappyConnections)
    #: Of HTTP requests; None: the mapping is not in HTTP mode.
    http: HTTPStats | None = None
    #: The instances whose accounts changed since the last `take_changed`.
    _changed: set[Identity] = Factory(set)
    #: How many clients were accepted, and turned away, at the last
    #: `take_changed`.
    _told: tuple[int, int] = (0, 0)
    _turned_away: int = 0
    #: With more accounts than this, `tidy` looks for unknown instances.
    _crowd: int = CROWD

    def use_http(self) -> HTTPStats:
        """The statistics of HTTP requests, begun by the first call."""
        if self.http is None:
            self.http = HTTPStats()
        return self.http

    def account(self, identity: Identity) -> UpstreamStats:
        """The account of an instance, for a caller that is about to change it."""
        self._changed.add(identity)
        account = self.accounts.get(identity)
        if account is None:
            account = self.accounts[identity] = UpstreamStats()
        return account

    def connected(self, identity: Identity, seconds: float) -> UpstreamStats:
        """An instance accepted a connection after `seconds`; returns its account."""
        # `account`, without the call: each connection pays for it.
        histogram, account = self.connect, self.accounts.get(identity)
        index = bisect_left(CONNECT, seconds)
        histogram.counts[index] += 1
        histogram.sum += seconds
        if account is None:
            account = self.accounts[identity] = UpstreamStats()
        self._changed.add(identity)
        account.connects[index] += 1
        account.total = total = account.total + 1
        if total == 1:
            account.connect_time = seconds
        else:
            account.connect_time += _LATEST * (seconds - account.connect_time)
            if not total % RECENT:
                account.connects = halves(account.connects)
        return account

    @property
    def is_answered(self) -> bool:
        """Whether upstreams send data on connections, judging by those so far.

        In some protocols only clients do: Graphite's, syslog.
        """
        answered = sum(self.first_byte.counts)
        return answered > _ANSWERED * sum(self.connect.counts)

    def failed(self, identity: Identity, now: float, error: str) -> None:
        """An instance did not accept a connection, for this reason."""
        account = self.account(identity)
        account.failures += 1
        account.failed(now, error)

    def turned_away(self, ending: str) -> None:
        """A client's connection ended before it had an upstream."""
        self._turned_away += 1
        self.endings[ending] += 1

    def left(self, seconds: float, ending: str) -> None:
        """A client's connection ended after `seconds`, whose bytes `moved` counted."""
        self._turned_away += 1
        self.endings[ending] += 1
        histogram = self.connection
        histogram.counts[bisect_left(CONNECTION, seconds)] += 1
        histogram.sum += seconds

    def moved(self, identity: Identity, received: int, sent: int) -> None:
        """`received` more bytes came from a client, and `sent` from its upstream."""
        self.received += received
        self.sent += sent
        account = self.account(identity)
        account.received += received
        account.sent += sent

    def over(
        self, identity: Identity, received: int, sent: int, seconds: float, ending: str
    ) -> None:
        """A connection ended after `seconds`, with bytes that `moved` did not count."""
        self.endings[ending] += 1
        # `moved`, without the call: each connection pays for it.
        histogram, account = self.connection, self.accounts.get(identity)
        histogram.counts[bisect_left(CONNECTION, seconds)] += 1
        histogram.sum += seconds
        self.received += received
        self.sent += sent
        if account is None:
            account = self.accounts[identity] = UpstreamStats()
        self._changed.add(identity)
        account.received += received
        account.sent += sent

    def add(self, other: "MappingStats", *, with_accounts: bool = True) -> None:
        """Add the statistics of another process, those of single instances included."""
        self.accepted += other.accepted
        self.received += other.received
        self.sent += other.sent
        self.endings.update(other.endings)
        self.exceeded.update(other.exceeded)
        self.connect.add(other.connect)
        self.first_byte.add(other.first_byte)
        self.connection.add(other.connection)
        self.unhappy.add(other.unhappy)
        if other.http is not None:
            self.use_http().add(other.http, with_accounts=with_accounts)
        for identity, account in other.accounts.items() if with_accounts else ():
            mine = self.accounts.get(identity)
            if mine is None:
                mine = self.accounts[identity] = UpstreamStats()
            mine.add(account)

    def tidy(self, is_known: Callable[[Identity], bool]) -> None:
        """Once there are many accounts, drop those of unknown instances.

        Otherwise accounts would accumulate where instances come and go.
        """
        if len(self.accounts) <= self._crowd:
            return
        self.accounts = {
            identity: account
            for identity, account in self.accounts.items()
            if is_known(identity)
        }
        self._changed &= self.accounts.keys()
        if self.http is not None:
            self.http.keep_only(is_known)
        self._crowd = max(CROWD, 2 * len(self.accounts))

    @property
    def has_news(self) -> bool:
        """Whether anything has changed since the last `take_changed`."""
        if self._changed or self._told != (self.accepted, self._turned_away):
            return True
        return self.http is not None and self.http.has_news

    def take_changed(self) -> dict[Identity, UpstreamStats]:
        """The accounts that changed since the last call."""
        changed, self._changed = self._changed, set()
        self._told = self.accepted, self._turned_away
        return {each: self.accounts[each] for each in changed if each in self.accounts}

    @classmethod
    def sum(cls, many: Iterable["MappingStats"]) -> Self:
        """The statistics of many processes together."""
        total = cls()
        for each in many:
            total.add(each)
        return total
