"""The statistics of a mapping's HTTP requests: what `MappingStats` is for connections.

Requests count by the class of their status, as Envoy's and HAProxy's counters do.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.stats.histogram import DurationHistogram
from lbconsul.stats.unhappy import UnhappyRequests
from lbconsul.stats.upstream import RECENT, Failures, halves, sums

#: The classes of requests, in the order of their counts; by 100 of the status.  "other"
#: is for requests that got no answer, and for a status of 600 and more.
CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

#: Upper bounds of the histograms, in seconds.
FIRST_BYTE = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
REQUEST = (*FIRST_BYTE, 60.0, 300.0)

#: As `RECENT`, of all upstreams of a mapping.
_RECENT_OF_MAPPING = 16 * RECENT


#: A request that is over: the instance whose answer it got, or None for an answer of
#: our own; the status of the answer, 0 if none was sent; seconds until the first byte
#: of an instance's answer, negative if none came; seconds until its end; bytes of it,
#: and of the answer, that `HTTPStats.moved` did not count.
Exchanged = tuple[Identity | None, int, float, float, int, int]


def _zeros(count: int) -> list[int]:
    return [0] * count


@define(eq=False)
class HTTPUpstreamStats:
    """The statistics of one mapping's requests to one instance."""

    #: By `CLASSES`.
    classes: list[int] = Factory(lambda: _zeros(len(CLASSES)))
    #: Bytes of heads and bodies from clients, and to them.
    received: int = 0
    sent: int = 0
    #: How many requests were answered, and the latest times to the first byte of the
    #: answer, by `FIRST_BYTE`.
    answered: int = 0
    recent: list[int] = Factory(lambda: _zeros(len(FIRST_BYTE) + 1))
    #: Of requests that were sent to it; None: there was none.
    failing: Failures | None = None
    #: Whether it changed since the last `HTTPStats.take_changed`.
    is_changed: bool = False

    def add(self, other: "HTTPUpstreamStats") -> None:
        """Add the statistics of another process."""
        self.classes = sums(self.classes, other.classes)
        self.received += other.received
        self.sent += other.sent
        self.answered += other.answered
        self.recent = sums(self.recent, other.recent)
        if other.failing is not None:
            if self.failing is None:
                self.failing = Failures()
            self.failing.add(other.failing)


@define(eq=False)
class HTTPStats:
    """The statistics of the requests of one mapping or route.

    The session counts `retries`, `reused`, `refused` and what stickiness does itself,
    and the log what is compressed.
    """

    #: By `CLASSES`, answers of our own included.
    classes: list[int] = Factory(lambda: _zeros(len(CLASSES)))
    received: int = 0
    sent: int = 0
    #: Requests sent once more, to the same instance or to another one.
    retries: int = 0
    #: Requests sent over a connection that had been kept idle.
    reused: int = 0
    #: With `sticky`: requests that went to the instance of their client's cookie;
    #: answers with a cookie for a client that had none; and with another one.
    stuck: int = 0
    bound: int = 0
    moved_elsewhere: int = 0
    #: Responses that were compressed, and bytes of their content before and after.
    compressed: int = 0
    compressed_in: int = 0
    compressed_out: int = 0
    #: Answers of our own, by their reason.
    refused: Counter[str] = Factory(Counter)
    #: Seconds until the first byte of an upstream's answer, and until the request is
    #: over.
    first_byte: DurationHistogram = Factory(lambda: DurationHistogram(FIRST_BYTE))
    request: DurationHistogram = Factory(lambda: DurationHistogram(REQUEST))
    #: As in `HTTPUpstreamStats`, of all upstreams.
    answered: int = 0
    recent: list[int] = Factory(lambda: _zeros(len(FIRST_BYTE) + 1))
    accounts: dict[Identity, HTTPUpstreamStats] = Factory(dict)
    unhappy: UnhappyRequests = Factory(UnhappyRequests)
    #: The instances whose accounts changed since the last `take_changed`, and whether
    #: anything else did.
    _changed: set[Identity] = Factory(set)
    _is_changed: bool = False

    def exchanged(
        self,
        identity: Identity | None,
        status: int,
        first_byte: float,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """A request is over; the parameters are those of `Exchanged`."""
        self.all_exchanged([(identity, status, first_byte, seconds, received, sent)])

    def all_exchanged(self, requests: Iterable[Exchanged]) -> None:
        """These requests are over."""
        # Each request pays for this: no calls that could be done without.
        classes, accounts, whole = self.classes, self.accounts, self.request
        whole_counts, first_counts = whole.counts, self.first_byte.counts
        for identity, status, first_byte, seconds, received, sent in requests:
            of_class = status // 100 if status < 600 else 0
            classes[of_class] += 1
            self.received += received
            self.sent += sent
            whole_counts[bisect_left(REQUEST, seconds)] += 1
            whole.sum += seconds
            if identity is None:
                self._is_changed = True
                continue
            account = accounts.get(identity)
            if account is None:
                account = accounts[identity] = HTTPUpstreamStats()
            if not account.is_changed:
                account.is_changed = True
                self._changed.add(identity)
            account.classes[of_class] += 1
            account.received += received
            account.sent += sent
            if first_byte >= 0:
                index = bisect_left(FIRST_BYTE, first_byte)
                first_counts[index] += 1
                self.first_byte.sum += first_byte
                self.recent[index] += 1
                account.recent[index] += 1
                account.answered = answered = account.answered + 1
                if not answered % RECENT:
                    account.recent = halves(account.recent)
                self.answered = answered = self.answered + 1
                if not answered % _RECENT_OF_MAPPING:
                    self.recent = halves(self.recent)

    def moved(self, identity: Identity, received: int, sent: int) -> None:
        """Bytes of a request that is not over yet: of a long upload or download."""
        self.received += received
        self.sent += sent
        account = self._account(identity)
        account.received += received
        account.sent += sent

    def failed(self, identity: Identity, now: float, error: str) -> None:
        """An instance failed a request that was sent to it, for this reason."""
        account = self._account(identity)
        if account.failing is None:
            account.failing = Failures()
        account.failing.note(now, error)

    def _account(self, identity: Identity) -> HTTPUpstreamStats:
        """The account of an instance, for a caller that is about to change it."""
        account = self.accounts.get(identity)
        if account is None:
            account = self.accounts[identity] = HTTPUpstreamStats()
        account.is_changed = True
        self._changed.add(identity)
        return account

    def add(self, other: "HTTPStats", *, with_accounts: bool = True) -> None:
        """Add the statistics of another process, those of single instances included."""
        self.classes = sums(self.classes, other.classes)
        self.received += other.received
        self.sent += other.sent
        self.retries += other.retries
        self.stuck += other.stuck
        self.bound += other.bound
        self.moved_elsewhere += other.moved_elsewhere
        self.reused += other.reused
        self.compressed += other.compressed
        self.compressed_in += other.compressed_in
        self.compressed_out += other.compressed_out
        self.refused.update(other.refused)
        self.first_byte.add(other.first_byte)
        self.request.add(other.request)
        self.answered += other.answered
        self.recent = sums(self.recent, other.recent)
        self.unhappy.add(other.unhappy)
        for identity, account in other.accounts.items() if with_accounts else ():
            mine = self.accounts.get(identity)
            if mine is None:
                mine = self.accounts[identity] = HTTPUpstreamStats()
            mine.add(account)

    def keep_only(self, is_known: Callable[[Identity], bool]) -> None:
        """Drop the accounts of instances that are not known."""
        self.accounts = {
            identity: account
            for identity, account in self.accounts.items()
            if is_known(identity)
        }
        self._changed &= self.accounts.keys()

    @property
    def has_news(self) -> bool:
        """Whether a request was over since the last `take_changed`."""
        return bool(self._changed) or self._is_changed

    def take_changed(self) -> dict[Identity, HTTPUpstreamStats]:
        """The accounts that changed since the last call."""
        changed = {each: self.accounts[each] for each in self._changed}
        for account in changed.values():
            account.is_changed = False
        self._changed, self._is_changed = set(), False
        return changed
