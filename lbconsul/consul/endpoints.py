"""The endpoints of Twisted that connect to one Consul address."""

from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from lbconsul.config.consul import ConsulAddress
from lbconsul.consul.heads import BoundedHeads
from lbconsul.consul.host_lookup import look_up

#: The timeout of a connect to one IP address of Consul, in seconds.
CONNECT_TIMEOUT = 5.0


@implementer(IAgentEndpointFactory)
@define(eq=False)
class ConsulEndpoints:
    """Makes the endpoint of one Consul address, for any URL."""

    _reactor: object
    _resolver: IHostnameResolver
    _address: ConsulAddress
    _policy: IPolicyForHTTPS
    #: The host's addresses of the last successful look-up, and those of them whose
    #: last connect failed.
    _known: list[str] = Factory(list)
    _failed: set[str] = Factory(set)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Twisted's `Agent` needs a new connection: the endpoint of the address."""
        return _Watchful(self._endpoint())

    def _endpoint(self) -> IStreamClientEndpoint:
        address = self._address
        if address.scheme == "unix":
            unix = UNIXClientEndpoint(
                self._reactor, address.path, timeout=CONNECT_TIMEOUT
            )
            return self._wrap(unix, "localhost") if address.tls else unix
        endpoint = _Named(self)
        if address.scheme == "https":
            return self._wrap(endpoint, address.host)
        return endpoint

    def _wrap(
        self, endpoint: IStreamClientEndpoint, host: str
    ) -> IStreamClientEndpoint:
        name = host.encode("idna")
        creator = self._policy.creatorForNetloc(name, self._address.port)
        wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
        return wrapped

    async def connect(self, factory: IProtocolFactory) -> IProtocol:
        """Connect to the first of the host's addresses that accepts.

        Addresses whose last connect failed are tried last: the time for one query may
        not suffice for all.

        :raises DNSLookupError: no look-up of the host has found an address.
        :raises ConnectError: no address accepts.
        """
        host, port = self._address.host, self._address.port
        # If DNS fails, the last known addresses stay in use.
        self._known = await look_up(self._resolver, host) or self._known
        self._failed &= set(self._known)
        failed: ConnectError | DNSLookupError = DNSLookupError(
            f"the host name {host} cannot be resolved"
        )
        for address in sorted(self._known, key=self._failed.__contains__):
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reactor, address, port, CONNECT_TIMEOUT)
            self._failed.add(address)
            try:
                protocol: IProtocol = await endpoint.connect(factory)
            except ConnectError as error:
                failed = error
            else:
                self._failed.discard(address)
                return protocol
        raise failed


@implementer(IStreamClientEndpoint)
@frozen
class _Named:
    """Connects to the first of the addresses of Consul's host that accepts.

    Twisted's `HostnameEndpoint` rejects names with an underscore, which Docker's
    networks have, and reports a refusal a third of a second late.
    """

    _endpoints: ConsulEndpoints

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._endpoints.connect(factory))


@implementer(IStreamClientEndpoint)
@frozen
class _Watchful:
    """An endpoint whose connections use TCP keepalive and bound the answers' heads.

    Keepalive detects a peer that vanished without closing the connection.
    """

    _endpoint: IStreamClientEndpoint

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connected: Deferred[Any] = self._endpoint.connect(BoundedHeads(factory))
        return connected.addCallback(_keep_alive)


def _keep_alive(bounded: Any) -> IProtocol:
    transport = bounded.transport
    if hasattr(transport, "setTcpKeepAlive"):  # a UNIX socket has none
        transport.setTcpKeepAlive(True)
    if isinstance(transport, TLSMemoryBIOProtocol):
        # loseConnection would wait without limit for the peer's close_notify.
        transport.loseConnection = transport.abortConnection  # type: ignore[method-assign]
    protocol: IProtocol = bounded.wrappedProtocol
    return protocol
