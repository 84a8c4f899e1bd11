"""A pool: its members, their standings, and the next upstream."""

import random
from collections.abc import Collection

from lbconsul.balance.policy import LeastConnections, RoundRobin
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import InstanceFilter
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Lease, Load, Upstream
from tests.support.instances import a_pool, an_identity, an_instance, name_of, names_of


def _pool(rules: InstanceFilter | None = None) -> Pool:
    return a_pool(LeastConnections(random.Random(1).random), rules or InstanceFilter())


def _choose(pool: Pool, avoiding: Collection[Upstream] = ()) -> Upstream | None:
    """The upstream that the next connection would get."""
    lease = pool.lease(avoiding)
    if lease is None:
        return None
    lease.end()
    return lease.upstream


def _member(pool: Pool, name: str) -> Upstream:
    [upstream] = [each for each in pool.upstreams() if name_of(each) == name]
    return upstream


def test_everyone_counts_whatever_the_standing() -> None:
    """A pool shows the draining ones too, with their reason."""
    pool = _pool()
    pool.apply([(an_instance("a"), Load())])
    pool.apply([(an_instance("b", status="critical", reason="on fire"), Load())])
    assert len(pool) == 2
    assert names_of(pool.upstreams()) == ["a", "b"]
    verdict = _member(pool, "b").verdict
    assert (verdict.standing, verdict.reason) == (Standing.DRAINING, "on fire")


def test_only_the_serving_are_chosen() -> None:
    """A draining upstream gets no new connection."""
    pool = _pool()
    pool.apply([(an_instance("a"), Load())])
    pool.apply([(an_instance("b", status="maintenance"), Load())])
    assert {_choose(pool) for _ in range(20)} == {_member(pool, "a")}


def test_who_is_not_selected_is_no_member() -> None:
    """An instance without the mapping's tag is neither shown nor chosen."""
    pool = _pool(InstanceFilter(tag="v2"))
    load = Load()
    pool.apply([(an_instance("a", tags=["v1"]), load)])
    assert (len(pool), _choose(pool), load.upstreams) == (0, None, [])


def test_an_altered_one_stays_who_it_was() -> None:
    """A new status or address changes an upstream, and keeps its connections."""
    pool, load = _pool(), Load()
    pool.apply([(an_instance("a"), load)])
    upstream = _member(pool, "a")
    lease = Lease(upstream, pool, probing=False)
    pool.apply([(an_instance("a", status="critical", host="192.0.2.7"), load)])
    assert _member(pool, "a") is upstream
    assert (upstream.instance.host, upstream.load.open) == ("192.0.2.7", 1)
    assert _choose(pool) is None
    pool.apply([(an_instance("a", weight=5), load)])
    assert _choose(pool) is upstream
    assert upstream.verdict.weight == 5
    lease.end()


class TestTag:
    """An instance that loses the tag which a mapping asks for."""

    def begin(self) -> tuple[Pool, Load, Lease]:
        """An instance with the tag, and a connection to it."""
        pool, load = _pool(InstanceFilter(tag="v2")), Load()
        pool.apply([(an_instance("a", tags=["v2"]), load)])
        return pool, load, Lease(_member(pool, "a"), pool, probing=False)

    def test_drains_and_leaves(self) -> None:
        """
        A removed upstream gets nothing new, is shown as draining until its connections
        are over, and then is no member.
        """
        pool, load, lease = self.begin()
        pool.apply([(an_instance("a"), load)])
        assert _choose(pool) is None
        state = pool.state(lease.upstream)
        assert (state.standing, state.reason) == (Standing.DRAINING, "lost tag v2")
        assert lease.leave() is not None
        list(pool.tick())
        assert len(pool) == 1
        lease.end()
        list(pool.tick())
        assert (len(pool), load.upstreams) == (0, [])

    def test_comes_back(self) -> None:
        """If it has the tag again it goes on as before."""
        pool, load, lease = self.begin()
        for tags in ([], ["v1"], ["v2"]):
            pool.apply([(an_instance("a", tags=tags), load)])
        assert _choose(pool) is lease.upstream
        assert lease.leave() is None
        lease.end()
        list(pool.tick())
        assert len(pool) == 1

    def test_deregistered_meanwhile(self) -> None:
        """If it is deregistered before its connections are over it leaves like any."""
        pool, load, lease = self.begin()
        pool.apply([(an_instance("a"), load)])
        pool.apply(drop=[an_identity("a")])
        assert (len(pool), load.upstreams) == (0, [])
        assert lease.leave() is not None
        list(pool.tick())
        pool.apply([(an_instance("a"), load)])
        pool.clear()
        assert len(pool) == 0


def test_who_left_is_chosen_no_more() -> None:
    """A deregistered instance gets nothing; releasing an unknown one is no error."""
    pool = _pool()
    for name, status in (("a", "passing"), ("b", "critical")):
        pool.apply([(an_instance(name, status=status), Load())])  # type: ignore[arg-type]
    loads = [each.load for each in pool.upstreams()]
    for name in ("a", "b", "never-seen"):
        pool.apply(drop=[an_identity(name)])
    assert (len(pool), _choose(pool)) == (0, None)
    assert [load.upstreams for load in loads] == [[], []]


def test_avoiding() -> None:
    """An upstream that was tried in vain is passed over, once."""
    pool = _pool()
    pool.apply([(an_instance("a"), Load())])
    pool.apply([(an_instance("b"), Load())])
    a, b = _member(pool, "a"), _member(pool, "b")
    assert {_choose(pool, [a]) for _ in range(20)} == {b}
    assert {_choose(pool, [b]) for _ in range(20)} == {a}
    assert _choose(pool, [a, b]) is None
    assert {_choose(pool) for _ in range(40)} == {a, b}


def test_avoiding_who_is_not_there() -> None:
    """Upstreams that left, drain, or are named twice can be avoided."""
    pool = _pool()
    for name in ("a", "b", "c"):
        pool.apply([(an_instance(name), Load())])
    a, b, c = (_member(pool, name) for name in "abc")
    pool.apply(drop=[an_identity("b")])
    pool.apply([(an_instance("c", status="critical"), Load())])
    assert _choose(pool, [b, c]) is a
    assert _choose(pool, [a, b, c, a, b, c]) is None
    pool.apply([(an_instance("b"), Load())])
    assert _choose(pool, [a, b]) is _member(pool, "b")


def test_avoiding_does_not_shift_turns() -> None:
    """A broken upstream is tried no more often than its turn comes."""
    pool = a_pool(RoundRobin(random.Random(1).random))
    for name in "abcd":
        pool.apply([(an_instance(name), Load())])
    broken, chosen = _member(pool, "a"), []
    for _ in range(1000):
        chosen.append(_choose(pool))
        if chosen[-1] is broken:
            chosen.append(_choose(pool, [broken]))
    assert abs(chosen.count(broken) - len(chosen) / 4) <= 1


def test_why_an_upstream_is_ejected() -> None:
    """A pool tells since when an upstream is ejected, and until when."""
    pool = _pool()
    pool.apply([(an_instance("a"), Load()), (an_instance("b"), Load())])
    assert pool.eject(an_identity("a")) == ""
    ejection = pool.ejection(_member(pool, "a"))
    assert ejection.since < ejection.until
