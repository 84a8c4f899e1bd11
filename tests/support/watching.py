"""A watch with a registry of its own, and a record of what it did."""

import random
from collections.abc import Iterable
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred

from lbconsul.balance.events import Change
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.consul.client import ConsulClient, Reply, consul_client
from lbconsul.consul.watch import Watch


@define(eq=False)
class RecordingRegistry(Registry):
    """A registry that keeps every change."""

    changes: list[Change] = Factory(list)

    def replace(
        self,
        query: ServiceQuery,
        instances: Iterable[Instance],
        *,
        pending: bool = False,
    ) -> Change:
        """What the registry does, noted if it changed anything."""
        change = Registry.replace(self, query, instances, pending=pending)
        if change:
            self.changes.append(change)
        return change


@define(eq=False)
class CountingClient(ConsulClient):
    """A client that counts what it is asked."""

    asked: int = 0

    def ask(
        self, query: ServiceQuery, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        """What the client does, counted."""
        self.asked += 1
        return ConsulClient.ask(self, query, index, address, stale=stale)


@frozen
class Watched:
    """A watch of one question, over real sockets."""

    registry: RecordingRegistry
    client: CountingClient
    watch: Watch

    def ids(self) -> set[str]:
        """The service ids of what the registry knows."""
        pool = self.registry.pool(PoolSpec(self.watch.query))
        return {each.instance.identity.service_id for each in pool.upstreams()}

    def serving(self) -> set[str]:
        """The service ids of what would get connections."""
        pool = self.registry.pool(PoolSpec(self.watch.query))
        return {
            each.instance.identity.service_id
            for each in pool.upstreams()
            if each.serving
        }

    def answered(self) -> bool:
        """Whether there ever was a good answer."""
        return self.registry.answered(self.watch.query)


def watched(reactor: Any, config: ConsulConfig, query: ServiceQuery) -> Watched:
    """A watch, not started."""
    registry = RecordingRegistry(random.random)
    plain = consul_client(reactor, config)
    client = CountingClient(reactor, plain._sites, plain._token)
    watch = Watch(reactor, reactor.nameResolver, client, registry, random.random, query)
    return Watched(registry, client, watch)


def local(port: int, scheme: str = "http") -> ConsulAddress:
    """The address of a Consul on this port of 127.0.0.1."""
    return ConsulAddress(scheme, "127.0.0.1", port)
