"""What a mapping selects: a query to Consul, and rules for its answer."""

from collections.abc import Hashable

from attrs import frozen

from lbconsul.text import quoted

#: Chance lengthens an ejection by up to this fraction: gateways must not all probe an
#: instance at the same moment.
_JITTER = 0.1


@frozen(cache_hash=True)  # it is looked up by, again and again
class ServiceQuery:
    """What one watch asks Consul.  Mappings with an equal query share a watch."""

    service: str
    datacenter: str = ""
    filter: str = ""
    near: str = ""
    #: Whether Consul is not asked: `service` is ``HOST:PORT``, used as it stands.
    fixed: bool = False
    #: Which of an instance's ports and addresses to use; empty: the default.
    port_name: str = ""
    tagged_address: str = ""

    def __str__(self) -> str:
        said = [self.service if self.fixed else quoted(self.service)]
        said += [f"dc={self.datacenter}"] if self.datacenter else []
        said += [f"filter={self.filter}"] if self.filter else []
        said += [f"near={self.near}"] if self.near else []
        said += [f"port-name={self.port_name}"] if self.port_name else []
        said += [f"tagged-address={self.tagged_address}"] if self.tagged_address else []
        return ",".join(said)


@frozen
class Trait:
    """What an instance may have: a tag, or a pair of its service's metadata."""

    tag: str = ""
    #: Of metadata; empty: this is a tag.
    key: str = ""
    value: str = ""
    #: Whether a tag of another case is another tag; to Consul it is the same.
    is_exact: bool = False

    def __str__(self) -> str:
        return f"meta {self.key}={self.value}" if self.key else f"tag {self.tag}"


@frozen
class Selection:
    """A part of an answer: the instances with all of `having` and none of `lacking`.

    Pools of one query with selections that exclude each other share its watch, and an
    instance is in one of them at any time.
    """

    having: tuple[Trait, ...] = ()
    lacking: tuple[Trait, ...] = ()
    #: Addresses, ``host:port`` as Consul has them, at which none of them is.
    not_at: tuple[str, ...] = ()


@frozen
class CheckRules:
    """Which own check the upstreams of a pool have, and what follows from results."""

    #: Tells the check from others; pools with an equal one share its results.
    check: Hashable
    #: Whether an upstream serves only once a check has passed.
    awaits: bool = False
    #: Whether the pool is used as if no check had failed where those of all fail.
    fail_open: bool = True


@frozen
class InstanceFilter:
    """Which instances of an answer may get connections."""

    tag: str = ""
    health: frozenset[str] = frozenset({"passing", "warning"})
    node_checks: bool = True
    #: The networks and UNIX paths that an instance's address must be in; empty: any.
    upstream_allow: tuple[str, ...] = ()
    #: Which part of the instances with the tag it takes; None: all of them.
    selection: Selection | None = None
    #: The gateway's own check; None: there is none.
    check: CheckRules | None = None


@frozen
class OutlierConfig:
    """After how many failures an upstream is ejected, and for how many seconds."""

    #: This many consecutive failures eject; 0: none do.
    failures: int = 3
    #: The length of the first ejection; each consecutive one is twice as long as the
    #: one before, up to `longest`.
    first: float = 10.0
    longest: float = 300.0
    #: Whether an early close counts: the upstream closes at once and sends no byte.
    early_close: bool = True
    #: This many consecutive requests that are answered with a server error, or not in
    #: time, eject; 0: none do.
    errors: int = 0
    #: The rule by which slow ones are ejected, which is applied elsewhere; empty: none.
    slow: str = ""
    #: Whether the mapping has other pools: then all upstreams of this one may be
    #: ejected while another pool is usable.
    whole: bool = False

    def span(self, ejections: int, chance: float) -> float:
        """The length in seconds of an ejection that follows `ejections` in a row.

        `chance` is a random number from 0 up to but without 1.
        """
        # Beyond some 1000 doublings a float overflows.
        span = min(self.longest, self.first * 2.0 ** min(ejections, 30))
        return span * (1 + _JITTER * chance)


@frozen
class ShrinkGuardConfig:
    """When the shrink guard holds back an answer that removes upstreams.

    It delays removals only: an instance that Consul lets serve does so at once.
    """

    #: An answer is held back if it removes more than this fraction of three upstreams
    #: or more, or the last ones; 0: none is.
    part: float = 0.0
    #: How long upstreams stay suspect, in seconds.
    hold: float = 30.0
    #: Whether upstreams that turned critical become suspect, and not only missing ones.
    critical: bool = True


@frozen(cache_hash=True)  # hashed for each connection
class PoolSpec:
    """Identifies a pool.  Mappings with an equal spec share the pool."""

    query: ServiceQuery
    rules: InstanceFilter = InstanceFilter()
    policy: str = "leastconn"
    patience: OutlierConfig = OutlierConfig()
    caution: ShrinkGuardConfig = ShrinkGuardConfig()
    #: How long an upstream that joins takes to reach its full weight, in seconds.
    slow_start: float = 0.0
    #: The most open connections to one instance; 0: no limit.
    limit: int = 0
    #: How much of its share of the open connections an upstream may have with the
    #: policy ``hash``: 1.25 is 125 %, and infinity any.
    hash_bound: float = 1.25


@frozen(cache_hash=True)
class FailoverSpec:
    """The pools that one mapping's connections may go to, by priority.

    Connections go to the first pool that has a usable upstream.  They return to an
    earlier pool once it had one for `failback_after` seconds.  If no pool has one,
    they go to the `fallback`.  A mapping without a service has no pool at all.
    """

    selections: tuple[PoolSpec, ...]
    fallback: PoolSpec | None = None
    failback_after: float = 0.0

    def all(self) -> tuple[PoolSpec, ...]:
        """Every pool spec, the fallback last."""
        return self.selections + ((self.fallback,) if self.fallback else ())
