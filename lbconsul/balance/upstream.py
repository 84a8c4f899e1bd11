"""Upstreams, the load on them, and the leases that make it up."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from attrs import Factory, define, field

from lbconsul.balance.departure import Drain
from lbconsul.balance.instance import Instance
from lbconsul.balance.standing import Standing, Verdict


@define(eq=False)
class Load:
    """The open connections of one instance, in whichever pools it stands.

    It lives with the instance's identity: while it stands in a pool, and after
    it left for as long as a lease on it is not ended.
    """

    open: int = 0
    upstreams: list["Upstream"] = Factory(list)

    def add(self, connections: int) -> None:
        """Count so many connections more, or fewer, and tell every pool."""
        self.open += connections
        for upstream in self.upstreams:
            upstream.loaded(upstream)


class Outcome(Enum):
    """What a connection showed of its upstream."""

    #: It refused, or did not answer in time.
    REFUSED = "refused"
    #: It accepted.
    CONNECTED = "connected"
    #: It ended the connection at once, without a word.
    EARLY_CLOSE = "spoiled"
    #: It spoke, took all that the client said, or kept the connection.
    SUCCESS = "proved"
    #: Both sides ended the connection in order, and neither had said anything.
    EMPTY = "empty"


@define(eq=False)
class OutlierRecord:
    """How one upstream has behaved of late."""

    #: Connections in a row that it refused, or did not answer.
    refused: int = 0
    #: Connections in a row that it ended at once.
    spoiled: int = 0
    #: Addresses in a row that failed, of an instance with several.
    missed: int = 0
    #: Ejections in a row.
    ejections: int = 0
    #: When the last one began, and when it is over, in seconds.
    since: float = 0.0
    until: float = 0.0
    #: Whether an operator had it ejected.
    by_hand: bool = False
    #: The one connection that probes it, while that is under way.
    probe: "Lease | None" = None
    #: Probes in a row that showed nothing.
    inconclusive: int = 0

    def eject(self, since: float, until: float) -> None:
        """It gets nothing until then."""
        self.since, self.until = since, until
        self.ejections += 1
        self.inconclusive = 0
        self.probe = None

    def why(self) -> str:
        """What it did, for people to read."""
        said = ["by hand"] if self.by_hand else []
        said += [f"{self.refused} in a row not connected"] if self.refused else []
        said += [f"{self.spoiled} in a row ended at once"] if self.spoiled else []
        probes = f"{self.inconclusive} in a row showed nothing when it was tried"
        said += [probes] if self.inconclusive else []
        return ", ".join(said)


#: The share of an upstream of weight 1.
WHOLE = 100


def ignore(upstream: "Upstream") -> None:
    """For who does not care about the load of `upstream`."""


class Orders(Protocol):
    """A policy, as an upstream knows it."""

    def place(self, upstream: "Upstream") -> None:
        """`upstream` joined, or its load or weight changed."""

    def withdraw(self, upstream: "Upstream") -> None:
        """`upstream`, which was placed, gets nothing any more."""

    def __contains__(self, upstream: "Upstream") -> bool:
        """Whether `upstream` is placed."""


@define(eq=False)
class Upstream:
    """An instance as one pool balances over it."""

    instance: Instance
    load: Load
    verdict: Verdict
    #: Told after each change of the load.
    loaded: Callable[["Upstream"], None] = ignore
    #: How it behaved, if there is anything to say.
    record: OutlierRecord | None = None
    #: Its weight as it counts now, in parts of `WHOLE`: less while it warms up.
    share: int = field(init=False)
    #: How it stands by all that is known, and since when, in seconds.
    standing: Standing | None = None
    since: float = 0.0
    #: The policy that orders it among others, if it may have connections.
    tier: Orders | None = None

    def __attrs_post_init__(self) -> None:
        self.ramp(1.0)

    def ramp(self, part: float) -> None:
        """Let so much of its weight count."""
        self.share = max(1, int(self.verdict.weight * WHOLE * part))

    def failed_at(self, address: str) -> bool:
        """Connecting to it at this address failed; whether the instance has, by that.

        It has once all addresses of its name have failed in a row.  Until then the
        next connections go to the next one.
        """
        instance = self.instance
        if not instance.alternates:
            return True
        if address != instance.address:
            return False  # it is known already, from a connection begun as early
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
        """Whether it refused the last connection that it decided on."""
        return self.record is not None and self.record.refused > 0

    def load_score(self) -> float:
        """How busy it is: 0 while idle, else (open + 1) / weight.

        The key of HAProxy's leastconn: the connection to come is counted, so
        that of two busy upstreams the one is taken that would be better off.
        """
        open = self.load.open
        return (open + 1) * WHOLE / self.share if open else 0.0


class Judge(Protocol):
    """Who wants to know what connections show."""

    def learn(self, lease: "Lease", outcome: Outcome) -> None:
        """A connection showed this of its upstream."""

    def abandon_probe(self, lease: "Lease") -> None:
        """A connection that may be a probe showed nothing, or has not for long."""

    def leave(self, upstream: Upstream) -> Drain | None:
        """Since when `upstream` gets nothing any more, unless it does."""


class Lease:
    """One counted connection to one upstream; ending it again does nothing."""

    __slots__ = ("_judge", "_load", "instance", "on_trial", "upstream")

    def __init__(self, upstream: Upstream, judge: Judge, on_trial: bool) -> None:
        self.upstream = upstream
        #: What the upstream was then: it may be at another address by now.
        self.instance = upstream.instance
        self._judge = judge
        #: Whether the upstream was ejected then, so that this connection can show
        #: that it is well; until it has shown anything.
        self.on_trial = on_trial
        self._load: Load | None = upstream.load
        upstream.load.add(1)

    def showed(self, outcome: Outcome) -> None:
        """Tell how the upstream behaved.  Good behaviour is news after bad only."""
        good = outcome is Outcome.CONNECTED or outcome is Outcome.SUCCESS
        if good and self.upstream.record is None:
            return
        self._judge.learn(self, outcome)
        if outcome is not Outcome.CONNECTED:
            self.on_trial = False

    def put_off(self) -> None:
        """It has shown nothing for so long that another one may probe the upstream.

        What it still shows counts all the same.
        """
        self._judge.abandon_probe(self)

    def leave(self) -> Drain | None:
        """Since when its upstream gets nothing any more, unless it does."""
        return self._judge.leave(self.upstream)

    def end(self) -> None:
        """The connection is over."""
        load, self._load = self._load, None
        if load is not None:
            load.add(-1)
            if self.on_trial:
                self.on_trial = False
                self._judge.abandon_probe(self)
