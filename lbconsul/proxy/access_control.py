"""Access control: which clients a mapping serves, with how many connections each."""

from collections.abc import Callable, Iterable
from typing import Protocol

from attrs import Factory, define

from lbconsul.config.model import Mapping
from lbconsul.limits.row_limits import RowLimits
from lbconsul.net.cidr import Address, Networks, read_address
from lbconsul.stats.termination import Termination


@define(eq=False)
class AccessControl:
    """Admits the clients of one mapping by `allow`, `deny` and connections per client.

    A client is one IPv4 address or one IPv6 /64.  Clients of a UNIX socket have no
    address and are always admitted, and so is a trusted proxy: `denies` is asked about
    the client that it names with each request.  Each worker counts its own connections
    only: N workers may serve one client N times `max-connections-per-client`.
    """

    _allow: Networks | None
    _deny: Networks
    #: Most connections of one client; 0: no limit.
    _limit: int
    #: Proxies in front, whose requests say who the clients are: that decides, not here.
    _trusted: Networks | None = None
    #: Open connections by client, without clients that have none.
    _open: dict[Address, int] = Factory(dict)
    #: Limits of new connections, and the clock for them; None: there are none.
    _limits: RowLimits | None = None
    _seconds: Callable[[], float] = lambda: 0.0

    @classmethod
    def of(
        cls,
        mapping: Mapping,
        limits: RowLimits | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> "AccessControl | None":
        """Access control for a mapping; None if the mapping admits every client.

        `limits` are of its connections, by a clock that tells `seconds`.
        """
        limit = mapping.limits.connections_per_client
        if not (mapping.allow or mapping.deny or limit or limits):
            return None
        allow = Networks.of(mapping.allow) if mapping.allow else None
        proxies = mapping.http.trusted_proxies if mapping.mode == "http" else ()
        trusted = Networks.of(proxies) if proxies else None
        denied = Networks.of(mapping.deny)
        return cls(allow, denied, limit, trusted, limits=limits, seconds=seconds)

    def refuse(self, peer: object) -> Termination | None:
        """Why a client is refused, or None; an admitted one counts until `release`."""
        if not isinstance(peer, tuple):
            return self._over_limit("")
        address = read_address(peer[0])
        if address is None:
            return Termination.CLIENT_LEFT  # before getpeername()
        if (
            address in self._deny
            or (self._allow is not None and address not in self._allow)
        ) and not (self._trusted is not None and address in self._trusted):
            return Termination.DENIED
        refused = self._over_limit(peer[0])
        if refused is not None:
            return refused
        return self._count(address.client) if self._limit else None

    def _over_limit(self, address: str) -> Termination | None:
        if self._limits is None:
            return None
        refusal = self._limits.of_client(address).refusal(self._seconds())
        return None if refusal is None else refusal.termination

    def denies(self, address: str) -> bool:
        """Whether `allow` and `deny` keep a client with this address out."""
        found = read_address(address)
        if found is None:
            return False
        return found in self._deny or (
            self._allow is not None and found not in self._allow
        )

    def _count(self, client: Address) -> Termination | None:
        count = self._open.get(client, 0)
        if count >= self._limit:
            return Termination.CLIENT_LIMIT
        self._open[client] = count + 1
        return None

    def release(self, peer: object) -> None:
        """Stop counting one connection of an admitted client, which closed."""
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


class Admission(Protocol):
    """What has admitted a client, and counts it."""

    def release(self, peer: object) -> None:
        """Stop counting one connection of an admitted client, which closed."""


@define(eq=False)
class AccessControls:
    """Several that admitted the same client, each of which counts it."""

    _each: tuple[AccessControl, ...]

    def release(self, peer: object) -> None:
        """Stop counting one connection of an admitted client, which closed."""
        for control in self._each:
            control.release(peer)


def admitted_by(controls: Iterable[AccessControl | None]) -> Admission | None:
    """All of those that there are, as one; None: there is none."""
    found = [each for each in controls if each is not None]
    if len(found) > 1:
        return AccessControls(tuple(found))
    return found[0] if found else None
