"""Upstreams, the load on them, and leases."""

from attrs import evolve

from lbconsul.balance.standing import Drain, Standing, Verdict
from lbconsul.balance.upstream import Lease, Load, Outcome, OutlierRecord, Upstream
from tests.support.instances import a_lease, an_instance, an_upstream


def test_an_idle_upstream_is_not_crowded() -> None:
    """An idle upstream is as good as any other idle one, whatever the weights."""
    assert an_upstream(weight=1).load_score() == an_upstream(weight=9).load_score() == 0


def test_crowding_counts_the_connection_to_come() -> None:
    """Of two busy ones the one is less crowded that would be better off with it."""
    assert an_upstream(weight=1, connections=1).load_score() == 2.0
    assert an_upstream(weight=4, connections=6).load_score() == 1.75


def test_a_lease_counts_from_its_birth_to_its_end() -> None:
    """A connection counts before it exists, until it is over."""
    upstream = an_upstream()
    lease = a_lease(upstream)
    assert (lease.upstream, upstream.load.open) == (upstream, 1)
    lease.end()
    assert upstream.load.open == 0


def test_a_lease_ends_once() -> None:
    """The two ways in which a connection ends may both end its lease."""
    upstream = an_upstream()
    kept, ended = a_lease(upstream), a_lease(upstream)
    for _ in range(3):
        ended.end()
    assert upstream.load.open == 1
    kept.end()
    assert upstream.load.open == 0


def test_all_pools_hear_of_a_load() -> None:
    """An instance's connections count in every pool in which it stands."""
    heard: list[Upstream] = []
    load, verdict = Load(), Verdict(Standing.SERVING, 1, "passing")
    both = [Upstream(an_instance(), load, verdict, heard.append) for _ in range(2)]
    load.upstreams.extend(both)
    lease = a_lease(both[0])
    assert heard == both
    lease.end()
    assert heard == both * 2


def test_only_a_serving_upstream_serves() -> None:
    """A draining upstream gets nothing new."""
    upstream = an_upstream()
    assert upstream.serving
    upstream.verdict = Verdict(Standing.DRAINING, 1, "critical")
    assert not upstream.serving


def test_one_address_that_fails() -> None:
    """An upstream with one address has failed if that has; it keeps no record of it."""
    upstream = an_upstream()
    assert upstream.failed_at(upstream.instance.address)
    assert upstream.record is None


def test_several_addresses_that_fail() -> None:
    """One with several has failed once each has, and the next one is always first."""
    upstream = an_upstream()
    upstream.instance = evolve(upstream.instance, address="a", alternates=("b", "c"))
    assert not upstream.failed_at("a")
    assert not upstream.failed_at("a")  # of another connection, begun at that time
    assert upstream.instance.addresses == ("b", "c", "a")
    assert not upstream.failed_at("b")
    assert upstream.failed_at("c")
    assert upstream.instance.addresses == ("a", "b", "c")
    assert not upstream.failed_at("a")


def test_a_record_tells_failures() -> None:
    """An upstream without a record has not failed, nor has one that accepts again."""
    upstream = an_upstream()
    assert not upstream.is_failing
    for refused in (1, 0):
        upstream.record = OutlierRecord(refused=refused)
        assert upstream.is_failing == bool(refused)


def test_a_shared_load_is_counted_where_it_is_shared() -> None:
    """A load that processes share is told of a lease's beginning and end."""
    upstream = an_upstream()
    added = list[int]()

    class Shared(Load):
        """A load that is counted elsewhere."""

        is_shared = True

        def add(self, connections: int) -> None:
            added.append(connections)

    upstream.load = Shared()
    a_lease(upstream).end()
    assert added == [1, -1]


def test_a_probe_that_proves_nothing_is_abandoned() -> None:
    """A lease says to its pool that it takes too long to prove anything."""
    abandoned = list[Lease]()

    class Owner:
        """The pool of the upstream."""

        def learn(self, lease: Lease, outcome: Outcome) -> None:
            raise AssertionError(outcome)

        def abandon_probe(self, lease: Lease) -> None:
            abandoned.append(lease)

        def leave(self, upstream: Upstream) -> Drain | None:
            return None

    lease = Lease(an_upstream(), Owner(), probing=True)
    lease.put_off()
    assert abandoned == [lease]
    assert lease.leave() is None
