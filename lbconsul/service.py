"""A whole gateway as a Twisted service: the one place where the rooms meet."""

import os
import random
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.balance.registry import Registry
from lbconsul.balance.selection import Question
from lbconsul.config.model import MOST_WORKERS, Config, Mapping
from lbconsul.consul.client import ConsulClient, consul_client
from lbconsul.consul.snapshot import Snapshot, check_directory
from lbconsul.consul.watch import Watch
from lbconsul.dev.service import DevCatalog
from lbconsul.errors import CannotListen, NoWorkers
from lbconsul.proxy.bind import OwnSocket
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import Listener
from lbconsul.proxy.poller import Poller, open_poller
from lbconsul.proxy.selecting import selection_of
from lbconsul.proxy.splice import Pipes
from lbconsul.proxy.standings import tell
from lbconsul.workers.master import Workers


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
    :raises NoWorkers: worker processes cannot be had here.
    """
    gateway = Gateway(reactor, config, chance, inherited or {})
    for mapping in config.mappings:
        gateway.listen(mapping)
    return gateway


@define(eq=False, repr=False)
class Gateway(MultiService):
    """Watches, listeners or workers, and the registry between them."""

    _log = Logger()
    _reactor: Any
    _config: Config
    _chance: Callable[[], float]
    _inherited: AbstractMapping[str, int]
    registry: Registry = field(init=False)
    _client: ConsulClient = field(init=False)
    _poller: Poller = field(init=False)
    _pipes: Pipes = Factory(Pipes)
    #: None if all is done in this process.
    _workers: Workers | None = None
    _questions: set[Question] = Factory(set)
    _factories: list[ProxyFactory] = Factory(list)
    _bindable: list[DevCatalog | Listener | Workers] = Factory(list)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        if self._config.state_dir:
            check_directory(self._config.state_dir)
        self.registry = self._registry()
        self._poller = open_poller(self._reactor)
        self._client = consul_client(self._reactor, self._config.consul)
        if self._config.dev:
            self._add_dev_catalog()

    def listen(self, mapping: Mapping) -> None:
        """Serve one mapping.

        :raises CannotListen: workers run already, and know of no other mappings
            than those that there were at the start.
        """
        sock = OwnSocket(mapping, self._inherited)
        if self._workers is not None:
            if self.running:
                raise CannotListen(
                    f"cannot serve {mapping}: with workers, every mapping is to be"
                    " added before the gateway starts"
                )
            self._watch(selection_of(mapping).question)
            self._workers.serve(sock)
            return
        factory = self.proxy_factory(mapping)
        listener = Listener(self._reactor, self._reactor, factory, sock)
        factory.ended = listener.connection_ended
        factory.starved = listener.starved
        self._bindable.append(listener)
        listener.setServiceParent(self)

    def proxy_factory(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping that somebody else listens for.

        Its service is watched from now on, or from the gateway's start.
        """
        selection = selection_of(mapping)
        self.registry.pool(selection)
        self._watch(selection.question)
        factory = ProxyFactory(
            self._poller,
            self._reactor,
            self.registry,
            selection,
            mapping,
            self._config.connection_log,
            pipes=self._pipes,
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
        served = [factory.mapping for factory in self._factories]
        for mapping in served + (self._workers.mappings if self._workers else []):
            self._log.info("balancing {mapping}", mapping=str(mapping))

    async def _stop(self) -> None:
        await MultiService.stopService(self)
        accepted = sum(factory.accepted for factory in self._factories)
        open_connections = sum(factory.open for factory in self._factories)
        for factory in self._factories:
            factory.close_connections()
        self._poller.stop()
        await self._client.close()
        leases = self.registry.open_connections()
        if self._workers is not None:
            accepted += self._workers.accepted
            open_connections += self._workers.closed
            leases += self._workers.leases
        self._log.info(
            "stopped: {accepted} connections accepted, {open} closed just now,"
            " {leases} leases left",
            accepted=accepted,
            open=open_connections,
            leases=leases,
        )

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def _registry(self) -> Registry:
        count = self._config.workers or min(_cores(), MOST_WORKERS)
        if count == 1:
            return Registry(self._chance, seconds=self._reactor.seconds, told=tell)
        try:
            workers = Workers(self._reactor, count, self._config.connection_log)
        except OSError as error:
            raise NoWorkers(
                f"--workers {count}: there is no room for the table that they share:"
                f" {error.strerror or error}"
            ) from None
        workers.setServiceParent(self)
        self._workers = workers
        self._bindable.append(workers)
        seconds = self._reactor.seconds
        return Registry(self._chance, workers.tally, workers.changed, seconds, tell)

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
                self._snapshot(question),
            ).setServiceParent(self)

    def _snapshot(self, question: Question) -> Snapshot | None:
        directory = self._config.state_dir
        if not directory:
            return None
        return Snapshot(self._reactor, Path(directory), question)

    def _add_dev_catalog(self) -> None:
        address = self._config.consul.addresses[0]
        services = dict.fromkeys(each.service for each in self._config.mappings)
        catalog = DevCatalog(self._reactor, address.host, address.port, list(services))
        self._bindable.append(catalog)
        catalog.setServiceParent(self)


def _cores() -> int:
    """The cores that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
