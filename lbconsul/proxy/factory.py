"""The proxy factory: lets an endpoint's clients in to a mapping."""

from collections.abc import Collection

from attrs import define
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from lbconsul.config.model import Mapping
from lbconsul.proxy.detach import SocketDetacher
from lbconsul.proxy.handler import handler_of
from lbconsul.proxy.mapping_proxy import MappingProxy


@implementer(IProtocolFactory)
@define(eq=False, repr=False)
class ProxyFactory:
    """Serves one mapping's clients that any endpoint of plain sockets accepts.

    As in ``endpoint.listen(gateway.proxy_factory(mapping))``.  A `Listener` needs no
    factory: it skips the Twisted transport.
    """

    _proxy: MappingProxy
    #: The proxies of the mapping's routes and parts.
    _routes: Collection[MappingProxy] = ()

    @property
    def mapping(self) -> Mapping:
        """The options of the mapping."""
        return self._proxy.mapping

    @property
    def accepted(self) -> int:
        """Connections accepted since the start."""
        return self._proxy.accepted

    @property
    def open(self) -> int:
        """Open connections, with an upstream or still dialing."""
        return self._proxy.open + sum(each.open for each in self._routes)

    def buildProtocol(self, address: IAddress) -> Protocol:
        """A protocol that passes on its transport's socket."""
        return SocketDetacher(handler_of(self._proxy))

    def doStart(self) -> None:
        """Nothing to do before listening."""

    def doStop(self) -> None:
        """Nothing to do: open connections outlive the listening port."""
