"""IP addresses for instances that are registered under a host name."""

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

from lbconsul.balance.instance import Instance

#: How old an address may grow before its name is looked up again, in seconds.
#: Half a minute is what Consul's own DNS answers and common DNS balancers use.
MAX_AGE = 30.0


@define(eq=False)
class Names:
    """The addresses of the host names of one answer, looked up without blocking.

    `changed` is called when another address than before is known.  A name
    that cannot be looked up any more keeps its last address.
    """

    _log = Logger()
    _clock: IReactorTime
    _resolver: IHostnameResolver
    _changed: Callable[[], None]
    _addresses: dict[str, str] = Factory(dict)
    _wanted: frozenset[str] = frozenset()
    _looking: set[str] = Factory(set)
    _unknown: set[str] = Factory(set)
    _timer: Any = None

    def addressed(self, instances: Iterable[Instance]) -> list[Instance]:
        """The instances whose address is known, with it; the others are looked up."""
        instances = tuple(instances)
        wanted = frozenset(each.host for each in instances if not each.address)
        new, self._wanted = wanted - self._wanted, wanted
        for host in [host for host in self._addresses if host not in wanted]:
            del self._addresses[host]
        self._unknown &= wanted
        for host in new:
            self._look_up(host)
        if wanted and self._timer is None:
            self._timer = self._clock.callLater(MAX_AGE, self._age)
        return [
            each if each.address else evolve(each, address=self._addresses[each.host])
            for each in instances
            if each.address or each.host in self._addresses
        ]

    def stop(self) -> None:
        """Look nothing up any more."""
        self._wanted = frozenset()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _age(self) -> None:
        self._timer = None
        for host in self._wanted:
            self._look_up(host)
        if self._wanted and self._timer is None:
            self._timer = self._clock.callLater(MAX_AGE, self._age)

    def _look_up(self, host: str) -> None:
        if host not in self._looking:
            self._looking.add(host)
            look_up(self._resolver, host).addCallback(self._found, host)

    def _found(self, addresses: list[str], host: str) -> None:
        self._looking.discard(host)
        if host not in self._wanted:
            return
        if not addresses:
            if host not in self._unknown:
                self._unknown.add(host)
                # Anybody may have registered it: it must not break the line.
                name = host if host.isprintable() else ascii(host)
                self._log.warn("the host name {host} cannot be resolved", host=name)
            return
        self._unknown.discard(host)
        # A name with several addresses keeps the one in use while it is valid.
        if self._addresses.get(host) not in addresses:
            self._addresses[host] = addresses[0]
            self._changed()


def look_up(resolver: IHostnameResolver, host: str) -> Deferred[list[str]]:
    """The IP addresses of `host`, none if it has none or cannot be looked up."""
    try:
        host.encode("idna")
    except UnicodeError:
        return succeed([])  # Twisted's resolver would never answer
    receiver = _Receiver()
    resolver.resolveHostName(receiver, host)
    return receiver.complete


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self) -> None:
        self._addresses: list[str] = []
        self.complete: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        """Nothing to do: there is no stopping a look-up half way."""

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        self.complete.callback(self._addresses)
