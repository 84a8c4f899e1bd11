"""A resolver of host names whose every answer the test gives."""

from collections.abc import Sequence

from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer


@implementer(IHostResolution)
@define(eq=False)
class FakeResolution:
    """A look-up under way."""

    name: str
    _resolver: "FakeResolver"

    def cancel(self) -> None:
        """Called to cancel the look-up."""
        self._resolver.cancel(self.name)


@implementer(IHostnameResolver)
@define(eq=False)
class FakeResolver:
    """Notes what it is asked; `answer` ends a look-up.

    Names in `known` are answered at once, within the question.
    """

    #: Every look-up so far, in order.
    asked: list[str] = Factory(list)
    known: dict[str, str] = Factory(dict)
    _pending: dict[str, tuple[IResolutionReceiver, int]] = Factory(dict)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        """Called to look an address up."""
        self.asked.append(hostName)
        self._pending[hostName] = resolutionReceiver, portNumber
        resolution = FakeResolution(hostName, self)
        resolutionReceiver.resolutionBegan(resolution)
        if hostName in self.known:
            self.answer(hostName, self.known[hostName])
        return resolution

    def cancel(self, host: str) -> None:
        """The look-up was cancelled."""
        self._pending.pop(host, None)

    def is_asked(self, host: str) -> bool:
        """Whether a look-up of that name is under way."""
        return host in self._pending

    def answer(self, host: str, *addresses: str) -> None:
        """The look-up of `host` that is under way finds these addresses, or none."""
        receiver, port = self._pending.pop(host)
        for address in addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()
