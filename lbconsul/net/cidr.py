"""Networks, and whether an address is in one of them.  Pure."""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from typing import NamedTuple

from attrs import frozen

#: Bits of an address.
_IPV4, _IPV6 = 32, 128

#: Bits of what one client of IPv6 has for itself, as a rule (RFC 6177).
_SITE = 64

#: IPv4 addresses written as IPv6 ones begin so (RFC 4291, 2.5.5.2).
_MAPPED = 0xFFFF


class Address(NamedTuple):
    """An IP address, or the beginning of one: how many bits, and these as a number."""

    bits: int
    number: int

    @property
    def client(self) -> "Address":
        """What stands for its client: itself, or of IPv6 the first 64 bits."""
        if self.bits == _IPV4:
            return self
        return Address(_SITE, self.number >> (_IPV6 - _SITE))


def read_address(text: str) -> Address | None:
    """An IP address, whatever its scope (``%eth0``); None if `text` is none.

    One of IPv4 is one of IPv4, though it is written as ``::ffff:192.0.2.1``.
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
    """Any number of networks, in which an address is found without a search.

    By the bits of an address, and by how many of them do not matter: the
    beginnings that do.  An address is looked up once for each length of prefix.
    """

    _beginnings: dict[int, tuple[tuple[int, frozenset[int]], ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Networks":
        """Of networks as `lbconsul.config.values.networks` gives them."""
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
        number = address.number
        return any(
            number >> rest in beginnings
            for rest, beginnings in self._beginnings[address.bits]
        )


def _read_network(text: str) -> tuple[int, int, int]:
    """The bits of its addresses, how many of them do not matter, and the others."""
    network = ip_network(text)
    bits, rest = network.max_prefixlen, network.max_prefixlen - network.prefixlen
    beginning = int(network.network_address) >> rest
    if bits == _IPV6 and rest <= _IPV4 and beginning >> (_IPV4 - rest) == _MAPPED:
        return _IPV4, rest, beginning & ((1 << (_IPV4 - rest)) - 1)
    return bits, rest, beginning
