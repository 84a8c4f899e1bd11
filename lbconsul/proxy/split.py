"""Which part of a split each client or request goes to."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Generic, Protocol, Self, TypeVar

from attrs import define

from lbconsul.balance.split import Credits, Split
from lbconsul.config.model import Mapping
from lbconsul.config.split import Sticky
from lbconsul.http.signed_cookie import Tokens
from lbconsul.net.cidr import read_address
from lbconsul.proxy.split_cookie import PartCookies


class PartProxy(Protocol):
    """The proxy of a part, a `mapping_proxy.MappingProxy`."""

    #: The row that it serves.
    mapping: Mapping
    #: What its clients or requests are split among; None: nothing.
    split: "ProxySplit[Any] | None"

    @property
    def is_usable(self) -> bool:
        """Whether it gets its share of a split."""


T = TypeVar("T", bound=PartProxy)

_RANGE = 2**64


@define(eq=False)
class ProxySplit(Generic[T]):
    """The split of a mapping or a route among the proxies of its parts."""

    #: The proxy of the whole, which serves the rest.
    _rest: T
    _split: Split[T]
    _sticky: Sticky
    #: Keep clients in their parts; None: no cookie does.
    cookies: PartCookies | None = None

    @classmethod
    def of(
        cls,
        proxies: Sequence[T],
        credits: Credits,
        tokens: Callable[[], Tokens] = lambda: Tokens("split", [b""]),
    ) -> Self:
        """The split among these proxies, of which that of the rest comes first."""
        rest = proxies[0]
        parts = [each.mapping.part for each in proxies]
        weights = [1.0 if each is None else each.weight for each in parts]
        split = Split(proxies, weights, credits)
        whole, cookies = rest.mapping, None
        if whole.split_sticky.by == "cookie":
            cookies = PartCookies(
                whole.split_sticky.name.encode(),
                whole.cookies,
                tokens,
                [each.mapping for each in proxies],
            )
        return cls(rest, split, whole.split_sticky, cookies)

    def reweigh(self, weights: Sequence[float]) -> None:
        """Replace the weights, the first of which is that of the rest."""
        self._split.reweigh(weights)

    def of_client(self, address: object) -> T:
        """The part that a client with this address gets.

        Where no part is usable, that is the rest: it waits or fails as it would alone.
        """
        if self._sticky.by == "source" and isinstance(address, tuple):
            return self.of_source(address[0])
        return self._split.choose() or self._rest

    def of_request(self, client: str) -> T:
        """The part that a request of the client with this address gets."""
        if self._sticky.by == "source":
            return self.of_source(client)
        return self._split.choose() or self._rest

    @property
    def parts(self) -> Sequence[T]:
        """The proxies of all parts, that of the rest first."""
        return self._split.parts

    def of_source(self, address: str) -> T:
        """The part that all clients with this IP address get."""
        found = read_address(address)
        if found is None:
            return self._split.choose() or self._rest
        # Clients of one IPv6 network are one: their addresses change.
        hashed = blake2b(repr(found.client).encode(), digest_size=16).digest()
        first, second = hashed[:8], hashed[8:]
        return self._split.at(_point(first), _point(second)) or self._rest


def _point(digest: bytes) -> float:
    return int.from_bytes(digest, "big") / _RANGE


class SplitMaker(Protocol[T]):
    """Makes splits."""

    def split_of(self, proxies: Sequence[T]) -> ProxySplit[T]:
        """The split among proxies: that of the rest, then those of the parts."""


def joined(proxies: Iterable[T], maker: SplitMaker[T]) -> list[T]:
    """Give proxies of rows with parts their splits; returns the proxies of the others.

    The parts of a row follow it, as in `Mapping.rows`.
    """
    groups: list[list[T]] = []
    for each in proxies:
        part = each.mapping.part
        if part is not None and part.name:
            groups[-1].append(each)
        else:
            groups.append([each])
    for group in groups:
        if len(group) > 1:
            group[0].split = maker.split_of(group)
    return [whole for whole, *_ in groups]
