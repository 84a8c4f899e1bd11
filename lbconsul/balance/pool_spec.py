"""What a mapping selects: a question to Consul, and rules for its answer."""

from attrs import frozen

from lbconsul.text import quoted

#: An ejection is longer by up to this part of it, by chance, so that many
#: gateways do not try an instance at the same moment.
_JITTER = 0.1


@frozen(cache_hash=True)  # it is looked up by, again and again
class ServiceQuery:
    """What one watch asks Consul.  Mappings with the same one share a watch."""

    service: str
    datacenter: str = ""
    filter: str = ""
    near: str = ""
    #: Whether there is nothing to ask: `service` is ``HOST:PORT``, used as it stands.
    fixed: bool = False
    #: Which of several ports and addresses of an instance is meant; empty: the default.
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
class InstanceFilter:
    """Which instances of an answer may get connections."""

    tag: str = ""
    health: frozenset[str] = frozenset({"passing", "warning"})
    node_checks: bool = True
    #: The networks in which an instance's address must be; none: any.
    upstream_allow: tuple[str, ...] = ()


@frozen
class OutlierConfig:
    """How much failing of an upstream is borne.  Times in seconds."""

    #: So many failures in a row eject; 0: none do.
    failures: int = 3
    #: The first ejection takes so long, each further one in a row twice as long
    #: as the one before, up to `longest`.
    first: float = 10.0
    longest: float = 300.0
    #: Whether connections count that an upstream ends at once, without a word.
    spoiled: bool = True
    #: Whether a mapping has other pools to go to, so that all upstreams of this one
    #: may be ejected while another one has any that is not.
    whole: bool = False

    def span(self, ejections: int, chance: float) -> float:
        """How long an ejection takes after so many in a row."""
        # Beyond some 1000 doublings a float is infinite.
        span = min(self.longest, self.first * 2.0 ** min(ejections, 30))
        return span * (1 + _JITTER * chance)


@frozen
class ShrinkGuardConfig:
    """How much an answer is doubted that takes upstreams away.

    The moves down only: whoever Consul says serves does so at once.
    """

    #: An answer is doubted that takes more than this part of three upstreams or
    #: more, or the last ones; 0: none is.
    part: float = 0.0
    #: For how long, in seconds.
    hold: float = 30.0
    #: Whether those are doubted that turned critical, and not only who is gone.
    critical: bool = True


@frozen(cache_hash=True)  # it is looked up for each connection
class PoolSpec:
    """What names a pool.  Mappings with the same one share it."""

    question: ServiceQuery
    rules: InstanceFilter = InstanceFilter()
    policy: str = "leastconn"
    patience: OutlierConfig = OutlierConfig()
    caution: ShrinkGuardConfig = ShrinkGuardConfig()
    #: The time in which one that joins comes to its whole weight, in seconds.
    slow_start: float = 0.0
    #: The most connections to one instance; 0: no limit.
    limit: int = 0


@frozen(cache_hash=True)
class FailoverSpec:
    """The selections that one mapping's connections may go to.

    To the first one that has an upstream; to an earlier one again when it had
    one for `failback_after` seconds.  Where none has one, to the `fallback`.
    """

    selections: tuple[PoolSpec, ...]
    fallback: PoolSpec | None = None
    failback_after: float = 0.0

    def all(self) -> tuple[PoolSpec, ...]:
        """Every selection of it."""
        return self.selections + ((self.fallback,) if self.fallback else ())
