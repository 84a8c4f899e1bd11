"""Whether an address is in one of many networks."""

import timeit
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.address_values import networks
from lbconsul.net.cidr import Address, Networks, read_address

Network = IPv4Network | IPv6Network

#: Few enough beginnings that networks hold some of the addresses.
IPV4 = st.integers(0, 255).map(lambda low: 0x0A000000 | low << 12 | low)
IPV6 = st.integers(0, 255).map(lambda low: 0x20010DB8 << 96 | low << 60 | low)

MAPPED = IPV4.map(lambda number: 0xFFFF << 32 | number)

NEAR = st.one_of(IPV4.map(IPv4Address), st.one_of(IPV6, MAPPED).map(IPv6Address))
ADDRESSES = NEAR | st.ip_addresses()


def _cut(address: IPv4Address | IPv6Address, length: int) -> Network:
    """The network of an address with a prefix of this length, as far as it has it."""
    return ip_network((address, min(length, address.max_prefixlen)), strict=False)


NETWORKS = st.builds(_cut, ADDRESSES, st.integers(0, 128))


def _read(text: str) -> Address:
    address = read_address(text)
    assert address is not None
    return address


def _in(text: str, *texts: str) -> bool:
    return _read(text) in Networks.of(texts)


def _is_in_one(address: IPv4Address | IPv6Address, all_: Sequence[Network]) -> bool:
    """The naive check: an IPv4-mapped address is an IPv4 address."""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for each in all_ for network in _as_ipv4(each))


def _as_ipv4(network: Network) -> list[Network]:
    """A network of IPv4 that is written as IPv6, or the network itself."""
    if isinstance(network, IPv4Network):
        return [network]
    ipv4 = network.network_address.ipv4_mapped
    if ipv4 is None or network.prefixlen < 96:
        return [network]
    return [IPv4Network((ipv4, network.prefixlen - 96))]


@given(st.lists(NETWORKS, max_size=20), ADDRESSES)
def test_as_by_a_search(
    known: list[Network], address: IPv4Address | IPv6Address
) -> None:
    """A set of networks contains an address just when one of the networks does."""
    found = _in(str(address), *networks(",".join(map(str, known)))) if known else False
    assert found == _is_in_one(address, known)


@given(st.lists(NETWORKS, min_size=1, max_size=20), st.data())
def test_first_and_last(known: list[Network], data: st.DataObject) -> None:
    """The ends of a network are part of it, and what is beside it is not."""
    network = data.draw(st.sampled_from(known))
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = type(network.network_address)
    for number in (first - 1, first, last, last + 1):
        if 0 <= number < 1 << network.max_prefixlen:
            address = kind(number)
            assert _in(str(address), *map(str, known)) == _is_in_one(address, known)


@given(st.lists(NETWORKS.filter(lambda each: each.version == 4), max_size=9), IPV4)
def test_ipv4_written_as_ipv6(known: list[IPv4Network], number: int) -> None:
    """A client of IPv4 is one, whatever kind of socket it came by."""
    address = IPv4Address(number)
    for text in (f"::ffff:{address}", f"::FFFF:{number >> 16:x}:{number & 0xFFFF:x}"):
        assert read_address(text) == read_address(str(address))
        assert _in(text, *map(str, known)) == _is_in_one(address, known)


@given(st.integers(0, 32), IPV4)
def test_networks_of_ipv4_written_as_ipv6(length: int, number: int) -> None:
    """A network of IPv4-mapped addresses is an IPv4 network."""
    network = _cut(IPv4Address(number), length)
    text = f"::ffff:{network.network_address}/{96 + length}"
    assert Networks.of([text]) == Networks.of([str(network)])


@pytest.mark.parametrize(
    ("address", "texts", "found"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.0/24,10.0.0.0/8", True),
        ("192.0.3.1", "192.0.2.0/24,10.0.0.0/8", False),
        ("192.0.2.1", "0.0.0.0/0", True),
        ("192.0.2.1", "::/0", False),
        ("::ffff:192.0.2.1", "::/0", False),
        ("::ffff:192.0.2.1", "0.0.0.0/0", True),
        ("2001:db8::1", "0.0.0.0/0", False),
        ("2001:db8::1", "::/0", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("::1", "::1", True),
        ("fe80::1%eth0", "fe80::/10", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("::192.0.2.1", "192.0.2.1", False),
    ],
)
def test_examples(address: str, texts: str, found: bool) -> None:
    """Examples of what operators mean; ``::/0`` is all of IPv6, and no IPv4."""
    assert _in(address, *networks(texts)) is found


@pytest.mark.parametrize("text", ["", "?", "web", "1.2.3", "1.2.3.4.5", "::g", "::1::"])
def test_no_address(text: str) -> None:
    """A text that is no address is in no network."""
    assert read_address(text) is None


@given(IPV6, st.integers(0, 127))
def test_client_of_ipv6(number: int, bit: int) -> None:
    """A client of IPv6 is what shares the first 64 bits of an address."""
    one, other = IPv6Address(number), IPv6Address(number ^ 1 << bit)
    is_same = _read(str(one)).client == _read(str(other)).client
    assert is_same == (bit < 64)


@given(IPV4, st.integers(0, 31))
def test_client_of_ipv4(number: int, bit: int) -> None:
    """A client of IPv4 is one address, and is none of IPv6."""
    one, other = IPv4Address(number), IPv4Address(number ^ 1 << bit)
    assert _read(str(one)).client == _read(f"::ffff:{one}").client
    assert _read(str(one)).client != _read(str(other)).client
    assert _read(str(one)).client != _read(str(IPv6Address(number << 64))).client


def test_any_number_of_networks() -> None:
    """An address is found among a hundred thousand networks as fast as among ten."""
    address = _read("192.0.2.1")
    few, many = (
        Networks.of(str(IPv4Network((i << 8, 24))) for i in range(count))
        for count in (10, 100_000)
    )

    def seconds(known: Networks) -> float:
        return min(timeit.repeat(lambda: address in known, number=2000, repeat=5))

    assert seconds(many) < 5 * seconds(few)
