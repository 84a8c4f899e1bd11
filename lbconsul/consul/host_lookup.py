"""Asks a resolver of Twisted's for the addresses of one host name."""

from contextlib import suppress

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from lbconsul.consul.resolv_conf import absolute


def look_up(resolver: IHostnameResolver, host: str) -> Deferred[list[str]]:
    """The IP addresses of `host`; empty if it has none or the look-up fails."""
    try:
        absolute(host)
    except ValueError:
        return succeed([])  # Twisted's resolver would never complete
    receiver = _Receiver()
    resolver.resolveHostName(receiver, host)
    return receiver.complete


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self) -> None:
        self._addresses: list[str] = []
        self._resolution: IHostResolution | None = None
        self.complete: Deferred[list[str]] = Deferred(self._cancel)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        if not self.complete.called:
            self.complete.callback(self._addresses)

    def _cancel(self, complete: Deferred[list[str]]) -> None:
        if self._resolution is not None:
            with suppress(NotImplementedError):  # Twisted's threaded resolver raises it
                self._resolution.cancel()
