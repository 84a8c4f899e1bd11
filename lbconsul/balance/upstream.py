"""Upstreams, the load on them, and the leases that make up the load."""

from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Protocol, Self

from attrs import Factory, define, field

from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Instance
from lbconsul.balance.standing import Drain, Standing, Verdict
from lbconsul.balance.upstream_view import WHOLE, UpstreamView


@define(eq=False)
class Load:
    """The open connections of one instance, over all pools that contain it.

    It belongs to the instance's identity, and lives as long as a pool contains the
    instance or a lease on it is open.
    """

    #: Whether `add` does more than a lease does by itself.
    is_shared: ClassVar[bool] = False
    open: int = 0
    upstreams: list["Upstream"] = Factory(list)

    def add(self, connections: int) -> None:
        """Add `connections`, which may be negative, and notify every pool."""
        self.open += connections
        for upstream in self.upstreams:
            upstream.loaded(upstream)


class Outcome(Enum):
    """What a connection showed of its upstream."""

    #: The upstream refused, or did not accept in time.
    REFUSED = "refused"
    #: The upstream accepted.
    CONNECTED = "connected"
    #: The upstream closed the connection at once, without sending a byte.
    EARLY_CLOSE = "early close"
    #: The upstream sent data, took all that the client sent, or kept the connection.
    SUCCESS = "proved"
    #: Both sides closed the connection in order, and neither had sent a byte.
    EMPTY = "empty"
    #: The upstream answered a request with a server error, not in time, or badly.
    ERROR = "error"


# Bound once: to read a member from its class takes 0.1 us in Python 3.11.
_CONNECTED, _SUCCESS = Outcome.CONNECTED, Outcome.SUCCESS


@define(eq=False)
class OutlierRecord:
    """The recent failures and ejections of one upstream."""

    #: Consecutive connections that it refused, or did not accept in time.
    refused: int = 0
    #: Consecutive connections that it closed at once.
    early_closes: int = 0
    #: Consecutive addresses that failed, of an instance with several.
    missed: int = 0
    #: Consecutive requests that it answered with an error, or not in time.
    errors: int = 0
    #: Consecutive ejections.
    ejections: int = 0
    #: When the last ejection began, and when it ends, in seconds.
    since: float = 0.0
    until: float = 0.0
    #: Whether an operator ejected it.
    by_hand: bool = False
    #: How slow it is, if it was ejected for that.
    slow: str = ""
    #: The one connection that probes the upstream, while it is under way.
    probe: "Lease | None" = None
    #: Consecutive probes that proved nothing.
    inconclusive: int = 0

    def eject(self, since: float, until: float) -> None:
        """Count an ejection, from `since` to `until`."""
        self.since, self.until = since, until
        self.ejections += 1
        self.inconclusive = 0
        self.probe = None

    def why(self) -> str:
        """The reason for an ejection, as text for the operator."""
        said = ["by hand"] if self.by_hand else []
        said += [self.slow] if self.slow else []
        said += [f"{self.refused} consecutive connect failures"] if self.refused else []
        said += (
            [f"{self.early_closes} consecutive early closes"]
            if self.early_closes
            else []
        )
        errors = f"{self.errors} consecutive server errors or timeouts"
        said += [errors] if self.errors else []
        probes = f"{self.inconclusive} consecutive inconclusive probes"
        said += [probes] if self.inconclusive else []
        return ", ".join(said)


def ignore(upstream: "Upstream") -> None:
    """The `loaded` callback of an upstream that is in no tier."""


class TierPolicy(Protocol):
    """Orders the upstreams of one tier of a pool.

    An upstream is placed in one policy at a time: it remembers its place there itself.
    """

    def place(self, upstream: "Upstream") -> None:
        """`upstream` joined, or its load or weight changed."""

    def withdraw(self, upstream: "Upstream") -> None:
        """`upstream`, which was placed, gets no more connections."""

    def choose(self) -> "Upstream | None":
        """The upstream for the next connection; None if none is placed."""

    def choose_for(self, key: HashKey) -> "Upstream | None":
        """The same for a connection with this key, which few policies consider."""

    def __contains__(self, upstream: "Upstream") -> bool:
        """Whether `upstream` is placed; it must not be placed elsewhere."""


@define(eq=False)
class WeightClass:
    """Some upstreams of one tier, whose weights lie within one power of two.

    Each knows its index in `members`: to remove it, the last one takes its place.
    """

    #: At least the greatest weight of `members`, and less than twice the least.
    bound: int
    members: list["Upstream"] = Factory(list)


@define(eq=False)
class Upstream(UpstreamView):
    """An instance as one pool balances over it."""

    instance: Instance
    load: Load
    verdict: Verdict
    #: Called after each change of the load.
    loaded: Callable[["Upstream"], None] = ignore
    #: Its recent failures; None if there are none.
    record: OutlierRecord | None = None
    #: Its effective weight, `WHOLE` for weight 1; less during slow start.
    effective_weight: int = field(init=False)
    #: Its standing by all evidence, and since when, in seconds.
    standing: Standing | None = None
    since: float = 0.0
    #: How many connections were open then.
    open_then: int = 0
    #: The policy that orders it among others, if it may get connections.
    tier: TierPolicy | None = None
    #: Where the policy keeps it, if it draws by weight: the class, the index among its
    #: members, and the weight that counts there.
    weight_class: WeightClass | None = field(default=None, repr=False)
    index: int = 0
    placed_weight: int = 0

    def __attrs_post_init__(self) -> None:
        self.ramp(1.0)

    def ramp(self, part: float) -> None:
        """Let this fraction of the weight count."""
        self.effective_weight = max(1, int(self.verdict.weight * WHOLE * part))

    def failed_at(self, address: str) -> bool:
        """Count a failed connect to `address`; whether the whole instance failed.

        It did once all addresses of its host name failed in a row.  Until then the
        next connections go to the next address.
        """
        instance = self.instance
        if not instance.alternates:
            return True
        if address != instance.address:
            return False  # already counted by a connection that began as early
        self.instance = instance.preferring(instance.alternates[0])
        record = self.record = self.record or OutlierRecord()
        record.missed += 1
        if record.missed <= len(instance.alternates):
            return False
        record.missed = 0
        return True

    @property
    def serving(self) -> bool:
        """Whether Consul lets it have new connections."""
        return self.verdict.standing is Standing.SERVING

    @property
    def is_failing(self) -> bool:
        """Whether the last connect to it that had a result failed."""
        return self.record is not None and self.record.refused > 0


class LeaseOwner(Protocol):
    """What leases report to: the pool of their upstream."""

    def learn(self, lease: "Lease", outcome: Outcome) -> None:
        """Act on what a connection showed of its upstream."""

    def abandon_probe(self, lease: "Lease") -> None:
        """A connection that may be a probe proved nothing, or has not for long."""

    def leave(self, upstream: Upstream) -> Drain | None:
        """The drain of `upstream`, or None."""


class Lease:
    """One counted use of an upstream; ending it again does nothing."""

    __slots__ = ("_load", "_owner", "instance", "probing", "upstream")

    def __init__(self, upstream: Upstream, owner: LeaseOwner, probing: bool) -> None:
        self.upstream = upstream
        #: The instance at the time: the upstream may have another address by now.
        self.instance = upstream.instance
        self._owner = owner
        #: Whether the upstream was ejected at the time, and this connection may still
        #: show that it recovered.
        self.probing = probing
        load = upstream.load
        self._load: Load | None = load
        if load.is_shared:
            load.add(1)
            return
        # `Load.add`, without the call: each connection pays for it twice.
        load.open += 1
        for each in load.upstreams:
            each.loaded(each)

    @classmethod
    def counted(cls, upstream: Upstream, owner: LeaseOwner) -> Self:
        """The lease of a use that is counted already."""
        lease = cls.__new__(cls)
        lease.upstream, lease.instance = upstream, upstream.instance
        lease._owner, lease._load = owner, upstream.load
        lease.probing = False
        return lease

    def showed(self, outcome: Outcome) -> None:
        """Report how the upstream behaved.

        CONNECTED and SUCCESS count after failures only: while the upstream has no
        `record`, they may as well not be reported.
        """
        good = outcome is _CONNECTED or outcome is _SUCCESS
        if good and self.upstream.record is None:
            return
        self._owner.learn(self, outcome)
        if outcome is not _CONNECTED:
            self.probing = False

    def put_off(self) -> None:
        """Let another connection probe the upstream: this one proves nothing for long.

        Its later outcome still counts.
        """
        self._owner.abandon_probe(self)

    def leave(self) -> Drain | None:
        """The drain of its upstream, or None."""
        return self._owner.leave(self.upstream)

    def end(self) -> None:
        """The use of the upstream is over: stop counting it."""
        load = self._load
        if load is None:
            return
        self._load = None
        if load.is_shared:
            load.add(-1)
        else:
            load.open -= 1
            for each in load.upstreams:
                each.loaded(each)
        if self.probing:
            self.probing = False
            self._owner.abandon_probe(self)
