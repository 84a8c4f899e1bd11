"""CIDR networks, and whether an address is in one of them.  Pure."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from typing import NamedTuple

from attrs import frozen

#: Bits of an IPv4 and of an IPv6 address.
_IPV4, _IPV6 = 32, 128

#: Prefix length that one IPv6 client usually has for itself (RFC 6177).
_SITE = 64

#: The prefix of IPv4-mapped IPv6 addresses, as a number (RFC 4291, 2.5.5.2).
_MAPPED = 0xFFFF

#: Most addresses that are remembered once they were parsed: many clients, and all
#: proxies in front, come again.
_REMEMBERED = 1024


class Address(NamedTuple):
    """An IP address or a prefix of one: the number of bits, and their value."""

    bits: int
    number: int

    @property
    def client(self) -> "Address":
        """The key of the address's client: the IPv4 address, or the IPv6 /64."""
        if self.bits == _IPV4:
            return self
        return Address(_SITE, self.number >> (_IPV6 - _SITE))


@lru_cache(_REMEMBERED)
def read_address(text: str) -> Address | None:
    """Parse an IP address, ignoring its scope (``%eth0``); None if `text` is none.

    An IPv4-mapped address (``::ffff:192.0.2.1``) is read as IPv4.
    """
    try:
        if ":" not in text:
            return Address(_IPV4, int(IPv4Address(text)))
        number = int(IPv6Address(text.partition("%")[0]))
    except AddressValueError:
        return None
    if number >> _IPV4 == _MAPPED:
        return Address(_IPV4, number & 0xFFFF_FFFF)
    return Address(_IPV6, number)


@frozen
class Networks:
    """A set of networks with constant-time lookup for each prefix length.

    Maps address bits to (host bits, prefixes) pairs: a lookup shifts the host bits
    off, and looks the rest up in the prefixes.
    """

    _beginnings: dict[int, tuple[tuple[int, frozenset[int]], ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Networks":
        """Build from networks as `config.address_values.networks` returns them."""
        found: dict[int, dict[int, set[int]]] = {_IPV4: {}, _IPV6: {}}
        for text in texts:
            bits, rest, beginning = _read_network(text)
            found[bits].setdefault(rest, set()).add(beginning)
        return cls(
            {
                bits: tuple((rest, frozenset(by_rest[rest])) for rest in by_rest)
                for bits, by_rest in found.items()
            }
        )

    def __contains__(self, address: Address) -> bool:
        # A generator for `any` would make two calls more.
        for rest, beginnings in self._beginnings[address.bits]:
            if address.number >> rest in beginnings:
                return True
        return False


def _read_network(text: str) -> tuple[int, int, int]:
    """The address bits of a network, its host bits, and its prefix."""
    network = ip_network(text)
    bits, rest = network.max_prefixlen, network.max_prefixlen - network.prefixlen
    beginning = int(network.network_address) >> rest
    if bits == _IPV6 and rest <= _IPV4 and beginning >> (_IPV4 - rest) == _MAPPED:
        return _IPV4, rest, beginning & ((1 << (_IPV4 - rest)) - 1)
    return bits, rest, beginning
