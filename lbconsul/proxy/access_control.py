"""Admission: which clients a mapping serves, and how many connections of each."""

from attrs import Factory, define

from lbconsul.config.model import Mapping
from lbconsul.net.cidr import Address, Networks, read_address
from lbconsul.stats.termination import Termination


@define(eq=False)
class Admission:
    """Admits the clients of one mapping by `allow`, `deny`, and their number.

    A client is one address of IPv4 or 64 bits of IPv6.  Clients of a UNIX socket
    have no address and are always admitted.  It counts the connections of its own
    process: of several workers each one counts for itself, so that together they
    may serve one client `max-connections-per-client` connections each.
    """

    _allow: Networks | None
    _deny: Networks
    #: Connections of one client; 0: no limit.
    _limit: int
    #: Only those who have any.
    _open: dict[Address, int] = Factory(dict)

    @classmethod
    def of(cls, mapping: Mapping) -> "Admission | None":
        """That of a mapping; None if it admits everybody."""
        limit = mapping.max_connections_per_client
        if not (mapping.allow or mapping.deny or limit):
            return None
        allow = Networks.of(mapping.allow) if mapping.allow else None
        return cls(allow, Networks.of(mapping.deny), limit)

    def refuse(self, peer: object) -> Termination | None:
        """Why a client is not admitted; if it is, it is counted until it `left`."""
        if not isinstance(peer, tuple):
            return None
        address = read_address(peer[0])
        if address is None:
            return Termination.CLIENT_LEFT  # before it could be asked for its address
        if address in self._deny:
            return Termination.DENIED
        if self._allow is not None and address not in self._allow:
            return Termination.DENIED
        return self._count(address.client) if self._limit else None

    def _count(self, client: Address) -> Termination | None:
        count = self._open.get(client, 0)
        if count >= self._limit:
            return Termination.CLIENT_LIMIT
        self._open[client] = count + 1
        return None

    def left(self, peer: object) -> None:
        """A connection of a client that was admitted is over."""
        if not self._limit or not isinstance(peer, tuple):
            return
        address = read_address(peer[0])
        assert address is not None
        client = address.client
        count = self._open[client] - 1
        if count:
            self._open[client] = count
        else:
            del self._open[client]
