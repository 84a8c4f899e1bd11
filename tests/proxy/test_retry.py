"""What a dial tries next, by the upstreams that did not accept."""

import pytest
from attrs import evolve

from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Outcome, Upstream
from lbconsul.errors import NoUpstream
from lbconsul.proxy.retry import (
    has_more_addresses,
    lease_next,
    lease_recovered,
    may_stay,
)
from tests.support.upstreams import WEB, WEB_ROUTE, instance, registry_of

PLAIN = instance("plain", 80)
#: An instance whose host name has three addresses.
NAMED = evolve(
    instance("named", 80, "127.0.0.1"), alternates=("127.0.0.2", "127.0.0.3")
)


def known(*instances: Instance) -> tuple[Failover, list[Upstream]]:
    """The pools of a service, and its upstreams in this order."""
    registry = registry_of(*instances)
    by_identity = {
        each.instance.identity: each for each in registry.pool(WEB).upstreams()
    }
    upstreams = [by_identity[each.identity] for each in instances]
    return registry.failover(WEB_ROUTE), upstreams


def test_untried_first() -> None:
    """An upstream that was not tried comes before other addresses of one that was."""
    failover, (plain, named) = known(PLAIN, NAMED)
    assert lease_next(failover, [named], 3).upstream is plain
    assert lease_next(failover, [plain], 3).upstream is named


def test_other_addresses() -> None:
    """If all were tried, one with an untried address follows, within the attempts."""
    failover, (plain, named) = known(PLAIN, NAMED)
    assert lease_next(failover, [plain, named], 3).upstream is named
    with pytest.raises(NoUpstream):
        lease_next(failover, [plain, named], 2)
    with pytest.raises(NoUpstream):
        lease_next(failover, [named, named, named, plain], 9)


def test_recovered() -> None:
    """After a wait an upstream that accepts others by now is tried again."""
    failover, (plain, named) = known(PLAIN, NAMED)
    for upstream in (plain, named):
        lease = failover.lease(
            [each for each in (plain, named) if each is not upstream]
        )
        lease.showed(Outcome.REFUSED)
        lease.end()
    assert lease_recovered(failover, [plain, named], 3) is None
    lease = failover.lease([named])
    lease.showed(Outcome.CONNECTED)
    lease.end()
    found = lease_recovered(failover, [plain, named], 3)
    assert found is not None
    assert found.upstream is plain
    assert lease_recovered(failover, [plain, named], 2) is None


def test_addresses() -> None:
    """Each address of an upstream is tried once."""
    _, (plain, named) = known(PLAIN, NAMED)
    assert not has_more_addresses(plain, [plain])
    assert has_more_addresses(named, [named, named])
    assert not has_more_addresses(named, [named] * 3)


def test_stay() -> None:
    """
    The next address is tried at once, unless the last attempt is left, which another
    upstream has, or the address before was silent.
    """
    _, (plain, named) = known(PLAIN, NAMED)
    assert may_stay(named, [named], 3, silent=False)
    assert not may_stay(named, [named], 3, silent=True)
    assert not may_stay(named, [named], 2, silent=False)
    assert not may_stay(plain, [plain], 3, silent=False)


def test_left_meanwhile() -> None:
    """An instance that has left is not tried again, however many addresses it has."""
    registry = registry_of(NAMED)
    (named,) = registry.pool(WEB).upstreams()
    registry.replace(WEB.query, [])
    failover = registry.failover(WEB_ROUTE)
    with pytest.raises(NoUpstream):
        lease_next(failover, [named], 3)
    assert lease_recovered(failover, [named], 3) is None
