"""Which connections the admin listener keeps when more come than it has room for.

Pure.
"""

from collections.abc import Hashable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from attrs import Factory, define

_C = TypeVar("_C", bound=Hashable)


@define(eq=False)
class Connections(Generic[_C]):
    """All connections, at most `most`, and `most_of_one` of one client.

    One that has no request to be answered, since it is silent or has only sent a part
    of one, makes room for a new one: the one that has been so for longest.  So a
    client that asks at once, as a probe does, is answered, however many others hold
    connections open.
    """

    _most: int
    _most_of_one: int
    #: Each with its client; None for those that are not counted.
    _clients: dict[_C, Hashable] = Factory(dict)
    #: Those without a request to be answered, the longest first.
    _waiting: dict[_C, None] = Factory(dict)

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[_C]:
        return iter(tuple(self._clients))

    def room(self, client: Hashable) -> tuple[bool, _C | None]:
        """Whether one more of that client has room, and which has to go for it."""
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
        """The one that has been without a request to be answered for longest."""
        return next(iter(self._waiting), None)

    def add(self, connection: _C, client: Hashable) -> None:
        """It is there, and waits for a request."""
        self._clients[connection] = client
        self._waiting[connection] = None

    def asked(self, connection: _C) -> None:
        """It has a request to be answered."""
        self._waiting.pop(connection, None)

    def answered(self, connection: _C) -> None:
        """It waits for the next request."""
        if connection in self._clients:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def discard(self, connection: _C) -> None:
        """It is gone, or about to be."""
        self._clients.pop(connection, None)
        self._waiting.pop(connection, None)


def client_of(host: str | None) -> Hashable:
    """What the connections of one client have in common: its address.

    Of IPv6 it is the /64, as one customer or host may have all of it.  None for this
    machine, whose programs have one address together, and for UNIX sockets.
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
