"""Addresses that are used as they stand."""

import pytest
from twisted.internet.task import Clock

from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.consul.static_service import StaticService, fixed_instance
from tests.support.fake_resolver import FakeResolver


@pytest.mark.parametrize(
    ("service", "host", "port", "address"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80, "10.0.0.1"),
        ("[::1]:8080", "::1", 8080, "::1"),
        ("sorry.example:443", "sorry.example", 443, ""),
    ],
)
def test_what_is_written(service: str, host: str, port: int, address: str) -> None:
    """An address is connected to as it stands, a host name is looked up first."""
    instance = fixed_instance(service)
    assert (instance.host, instance.port, instance.address) == (host, port, address)


def _addresses(registry: Registry, query: ServiceQuery) -> list[str]:
    pool = registry.pool(PoolSpec(query))
    return [each.instance.address for each in pool.upstreams()]


def test_an_address_serves_at_once() -> None:
    """A fixed address is there from the start, without a query."""
    registry, resolver = Registry(lambda: 0.0), FakeResolver()
    query = ServiceQuery("10.0.0.1:80", fixed=True)
    fixed = StaticService(Clock(), resolver, registry, lambda: 0.0, query)
    fixed.startService()
    assert registry.answered(query)
    assert _addresses(registry, query) == ["10.0.0.1"]
    assert resolver.asked == []
    fixed.stopService()


def test_an_address_that_is_our_own() -> None:
    """A fixed address at which we listen ourselves gets nothing, and that is shown."""
    registry = Registry(lambda: 0.0)
    query = ServiceQuery("10.0.0.1:80", fixed=True)
    us = ["10.0.0.1"]

    def screen(instance: Instance) -> str:
        return "it is us" if instance.address in us else ""

    fixed = StaticService(Clock(), FakeResolver(), registry, lambda: 0.0, query, screen)
    fixed.screen()
    assert not registry.answered(query)
    fixed.startService()
    pool = registry.pool(PoolSpec(query))
    assert pool.lease() is None
    assert [each.reason for each in fixed.skipping.all] == ["it is us"]
    us.clear()
    fixed.screen()
    assert pool.lease() is not None
    assert fixed.skipping.all == ()
    fixed.stopService()


def test_a_host_name_is_looked_up() -> None:
    """A host serves once its address is known; nothing is left behind at the end."""
    clock, registry, resolver = Clock(), Registry(lambda: 0.0), FakeResolver()
    query = ServiceQuery("sorry.example:80", fixed=True)
    fixed = StaticService(clock, resolver, registry, lambda: 0.0, query)
    fixed.startService()
    assert _addresses(registry, query) == []
    resolver.answer("sorry.example", "192.0.2.9")
    assert _addresses(registry, query) == ["192.0.2.9"]
    fixed.stopService()
    assert clock.getDelayedCalls() == []
