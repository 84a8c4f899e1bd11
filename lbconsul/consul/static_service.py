"""A static address as the only instance of a pool, without Consul."""

from collections.abc import Callable

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.interfaces import IHostnameResolver, IReactorTime

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.hosts import read_host
from lbconsul.consul.addresses import Addresses
from lbconsul.consul.catalog import Skipped
from lbconsul.consul.instance_addresses import InstanceAddresses
from lbconsul.consul.skipping import Screen, Skipping, screened


def fixed_instance(service: str) -> Instance:
    """The only instance of the service ``HOST:PORT``."""
    host, _, port = service.rpartition(":")
    host, address = read_host(host)
    return Instance(Identity("", "fixed", service), host, int(port), address)


@define(eq=False)
class StaticService(Service):
    """Answers a query whose service is ``HOST:PORT``: that address is its instance.

    A host name is looked up at intervals, as those of Consul's instances are.
    """

    _clock: IReactorTime
    _resolver: IHostnameResolver
    _registry: Registry
    _chance: Callable[[], float]
    query: ServiceQuery
    _screen: Screen = lambda instance: ""
    skipping: Skipping = Factory(
        lambda self: Skipping(self._clock, str(self.query)), takes_self=True
    )
    #: The addresses of host names that the predecessor in a takeover knew.
    _inherited: Addresses = Factory(dict)
    names: InstanceAddresses = Factory(
        lambda self: InstanceAddresses(
            self._clock,
            self._resolver,
            self._publish,
            self._chance,
            inherited=self._inherited,
        ),
        takes_self=True,
    )

    def startService(self) -> None:
        super().startService()
        self._publish()

    def stopService(self) -> None:
        super().stopService()
        self.names.stop()

    def screen(self) -> None:
        """The screen's result may have changed: apply it to the instance again."""
        if self._registry.answered(self.query):
            self._publish()

    def _publish(self) -> None:
        instance = fixed_instance(self.query.service)
        addressed = screened(self.names.addressed([instance]), self._screen)
        self.skipping.replace(
            [Skipped(each.host, each.skipped) for each in addressed if each.skipped]
        )
        pending = self.names.pending
        self._registry.replace(self.query, addressed, pending=pending)
