"""Keeps a gateway from connecting to itself."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from attrs import define
from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from lbconsul.gateway.admin import AdminService
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.gateway.watches import Watches
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.periodic import repeat
from lbconsul.proxy.own_listeners import MAX_AGE, Bound, OwnListeners, bound_to


@define(eq=False, repr=False)
class Screening(Service):
    """Has the watches look again at all instances when the gateway's addresses change.

    `fixed` are addresses that the gateway has from its start to its end, beside those
    of the data plane and the admin listener.
    """

    _reactor: Any
    _own: OwnListeners
    _data_plane: DataPlane
    _admin: AdminService
    _watches: Watches
    _fixed: Collection[Bound]
    _looking: LoopingCall | None = None

    def learn(self) -> None:
        """Note where the gateway listens now."""
        for _ in self.learning():
            pass

    def learning(self, added: Iterable[OwnedSocket] = ()) -> Iterator[object]:
        """Note where the gateway listens now, in steps.

        `added` are sockets that are going to be served.
        """
        sockets = [*self._data_plane.sockets, *added]
        bounds = [bound_to(each.mapping.listen, each.sock) for each in sockets]
        bounds += [bound_to(self._admin.listen), *self._fixed]
        yield True
        if self._own.replace(bounds):
            yield from self._watches.screening()

    def startService(self) -> None:
        super().startService()
        # A virtual address may come to this host while nothing else changes.
        self._looking = repeat(self._reactor, MAX_AGE, self._look_for_moved)

    def stopService(self) -> None:
        super().stopService()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.stop()

    def _look_for_moved(self) -> None:
        """Periodic: this host may have other addresses."""
        if self._own.has_moved():
            self._data_plane.sweeper.begin(self._watches.screening())
