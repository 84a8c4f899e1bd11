"""A whole gateway as a Twisted service: the one place where the rooms meet."""

import random
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.balance.registry import Registry
from lbconsul.balance.selection import Question, Rules, Selection
from lbconsul.config.model import Config, Mapping
from lbconsul.consul.client import ConsulClient, consul_client
from lbconsul.consul.watch import Watch
from lbconsul.dev.service import DevCatalog
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import Listener
from lbconsul.proxy.poller import Poller, open_poller


def balancer(
    reactor: Any,
    config: Config,
    *,
    chance: Callable[[], float] = random.random,
    inherited: AbstractMapping[str, int] | None = None,
) -> "Gateway":
    """A gateway that does what `config` says once it is started.

    `reactor` is any with `IReactorFDSet` and `IReactorTime`; `inherited` are
    the listening descriptors that systemd passed in, by name and by number.

    :raises ConfigError: a token or certificate file cannot be read.
    """
    gateway = Gateway(reactor, config, chance, inherited or {})
    for mapping in config.mappings:
        gateway.listen(mapping)
    return gateway


@define(eq=False, repr=False)
class Gateway(MultiService):
    """Watches, listeners, and the registry between them."""

    _log = Logger()
    _reactor: Any
    _config: Config
    _chance: Callable[[], float]
    _inherited: AbstractMapping[str, int]
    registry: Registry = field(init=False)
    _client: ConsulClient = field(init=False)
    _poller: Poller = field(init=False)
    _questions: set[Question] = Factory(set)
    _factories: list[ProxyFactory] = Factory(list)
    _bindable: list[DevCatalog | Listener] = Factory(list)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self.registry = Registry(self._chance)
        self._poller = open_poller(self._reactor)
        self._client = consul_client(self._reactor, self._config.consul)
        if self._config.dev:
            self._add_dev_catalog()

    def listen(self, mapping: Mapping) -> None:
        """Serve one mapping."""
        factory = self.proxy_factory(mapping)
        listener = Listener(self._reactor, self._reactor, factory, self._inherited)
        factory.ended = listener.connection_ended
        factory.starved = listener.starved
        self._bindable.append(listener)
        listener.setServiceParent(self)

    def proxy_factory(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping that somebody else listens for.

        Its service is watched from now on, or from the gateway's start.
        """
        question = Question(mapping.service, mapping.dc, mapping.filter, mapping.near)
        rules = Rules(mapping.tag, mapping.health, mapping.node_checks)
        selection = Selection(question, rules, mapping.policy)
        self.registry.pool(selection)
        self._watch(question)
        factory = ProxyFactory(
            self._poller,
            self._reactor,
            self.registry,
            selection,
            mapping,
            self._config.connection_log,
        )
        self._factories.append(factory)
        return factory

    def bind(self) -> None:
        """Open every listening socket now, before the start.

        :raises CannotListen: one is not to be had; none is left open.
        """
        try:
            for each in self._bindable:
                each.bind()
        except Exception:
            for each in self._bindable:
                each.close()
            raise

    def startService(self) -> None:
        super().startService()
        for factory in self._factories:
            self._log.info("balancing {mapping}", mapping=str(factory.mapping))

    async def _stop(self) -> None:
        await MultiService.stopService(self)
        open_connections = sum(factory.open for factory in self._factories)
        for factory in self._factories:
            factory.close_connections()
        self._poller.stop()
        await self._client.close()
        self._log.info(
            "stopped: {accepted} connections accepted, {open} closed just now,"
            " {leases} leases left",
            accepted=sum(factory.accepted for factory in self._factories),
            open=open_connections,
            leases=self.registry.open_connections(),
        )

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def _watch(self, question: Question) -> None:
        if question not in self._questions:
            self._questions.add(question)
            resolver: IHostnameResolver = self._reactor.nameResolver
            Watch(
                self._reactor,
                resolver,
                self._client,
                self.registry,
                self._chance,
                question,
            ).setServiceParent(self)

    def _add_dev_catalog(self) -> None:
        address = self._config.consul.addresses[0]
        services = dict.fromkeys(each.service for each in self._config.mappings)
        catalog = DevCatalog(self._reactor, address.host, address.port, list(services))
        self._bindable.append(catalog)
        catalog.setServiceParent(self)
