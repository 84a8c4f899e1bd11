"""A gateway that is registered as its own instance."""

import pytest

from lbconsul.admin.status_model import WatchStatus
from lbconsul.config.build import configure
from lbconsul.gateway import screening
from lbconsul.proxy import own_listeners as own
from lbconsul.service import Gateway
from tests.support.ports import free_ports
from tests.support.running_gateway import Started
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


def test_an_address_that_moves_here(
    running: ReactorThread, no_consul: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual address that this host takes over is its own soon after, though
    Consul says nothing new: else the gateway would connect to itself.
    """
    (port,) = free_ports(1)
    addresses = {"192.0.2.1"}
    monkeypatch.setattr(own, "_host_addresses", lambda: frozenset(addresses))
    monkeypatch.setattr(own, "MAX_AGE", 0.05)
    monkeypatch.setattr(screening, "MAX_AGE", 0.05)
    mapping = f"{port}:web,when-empty=fallback=192.0.2.7:{port}"
    gateway = Gateway(running.reactor, configure([no_consul], [mapping]))
    with Started(running, gateway):

        def skipped() -> int:
            states: list[WatchStatus] = running.call(lambda: [*gateway.watch_states])
            return sum(each.skipped for each in states)

        assert skipped() == 0
        addresses.add("192.0.2.7")
        eventually(lambda: skipped() == 1, "it knows itself")
        addresses.remove("192.0.2.7")
        eventually(lambda: skipped() == 0, "it is another host's again")
