"""The keys of clients, by which connections are balanced."""

import pytest

from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.proxy.hash_keys import hash_by, key_of_client, key_of_peer


def _mapping(text: str) -> Mapping:
    [mapping] = configure([], [text]).mappings
    return mapping


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_a_client_is_an_address_or_a_64(one: str, other: str, *, same: bool) -> None:
    """One IPv4 address, or one IPv6 /64, as for `max-connections-per-client`."""
    keys = key_of_client(one), key_of_client(other)
    assert keys[0] is not None
    assert keys[1] is not None
    assert (keys[0].number == keys[1].number) == same


def test_clients_without_an_address_have_no_key() -> None:
    """Those of a UNIX socket are balanced by least connections."""
    assert key_of_peer("") is None
    assert key_of_client("") is None
    found = key_of_peer(("192.0.2.1", 4711))
    assert found is not None
    assert found is key_of_client("192.0.2.1")


def test_what_a_mapping_goes_by() -> None:
    """The source for the policy hash, nothing for others, or as it says."""
    assert hash_by(Mapping("web")) == ""
    assert hash_by(_mapping("80:web,policy=hash")) == "source"
    by = _mapping("80:web,mode=http,policy=pkg.mod:Own,hash-by=header:X-Tenant")
    assert hash_by(by) == "header:x-tenant"
