"""Upstreams, the load on them, and the leases that make it up."""

from collections.abc import Callable

from attrs import Factory, define

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


def ignore(upstream: "Upstream") -> None:
    """For who does not care about the load of `upstream`."""


@define(eq=False)
class Upstream:
    """An instance as one pool balances over it."""

    instance: Instance
    load: Load
    verdict: Verdict
    #: Told after each change of the load.
    loaded: Callable[["Upstream"], None] = ignore

    @property
    def serving(self) -> bool:
        """Whether it gets new connections."""
        return self.verdict.standing is Standing.SERVING

    def crowding(self) -> float:
        """How busy it is: 0 while idle, else (open + 1) / weight.

        The key of HAProxy's leastconn: the connection to come is counted, so
        that of two busy upstreams the one is taken that would be better off.
        """
        return (self.load.open + 1) / self.verdict.weight if self.load.open else 0.0


class Lease:
    """One counted connection to one upstream; ending it again does nothing."""

    __slots__ = ("_load", "upstream")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._load: Load | None = upstream.load
        upstream.load.add(1)

    def end(self) -> None:
        """The connection is over."""
        load, self._load = self._load, None
        if load is not None:
            load.add(-1)
