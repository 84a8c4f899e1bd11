"""Which connections the admin listener keeps when it reaches its limits.  Pure."""

from collections.abc import Hashable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from attrs import Factory, define

_C = TypeVar("_C", bound=Hashable)


@define(eq=False)
class Connections(Generic[_C]):
    """All connections: at most `most`, and at most `most_of_one` per client.

    At a limit, the connection that has been without a complete request for longest
    (silent, or with a partial request) is evicted for a new one.  So a client that
    sends its request at once, such as a probe, is answered however many idle
    connections are open.
    """

    _most: int
    _most_of_one: int
    #: The client of each connection; None if it has no limit per client.
    _clients: dict[_C, Hashable] = Factory(dict)
    #: Connections without a pending request, the longest idle first.
    _waiting: dict[_C, None] = Factory(dict)

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[_C]:
        return iter(tuple(self._clients))

    def room(self, client: Hashable) -> tuple[bool, _C | None]:
        """Whether `client` may connect, and the connection to evict for it."""
        if client is not None:
            own = [one for one, its in self._clients.items() if its == client]
            if len(own) >= self._most_of_one:
                found = next((one for one in self._waiting if one in own), None)
                return found is not None, found
        if len(self._clients) < self._most:
            return True, None
        found = self.longest_waiting
        return found is not None, found

    @property
    def longest_waiting(self) -> _C | None:
        """The connection that has been without a pending request for longest."""
        return next(iter(self._waiting), None)

    def add(self, connection: _C, client: Hashable) -> None:
        """Add a connection that waits for its first request."""
        self._clients[connection] = client
        self._waiting[connection] = None

    def asked(self, connection: _C) -> None:
        """A connection has a pending request: it is not evicted."""
        self._waiting.pop(connection, None)

    def answered(self, connection: _C) -> None:
        """A connection waits for its next request."""
        if connection in self._clients:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def discard(self, connection: _C) -> None:
        """Remove a connection that is closed, or about to be."""
        self._clients.pop(connection, None)
        self._waiting.pop(connection, None)


def client_of(host: str | None) -> Hashable:
    """The key under which the connections of one client are counted: its address.

    For IPv6 it is the /64, since one host may own all of it.  None (no limit) for
    loopback, where all programs share one address, and for UNIX sockets.
    """
    if host is None:
        return None
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return address.packed[:8]
    return address.packed
