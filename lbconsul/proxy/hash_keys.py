"""What ``policy=hash`` goes by: the keys of clients."""

from functools import lru_cache

from lbconsul.balance.hash_key import HashKey
from lbconsul.config.model import Mapping
from lbconsul.net.cidr import read_address

#: So many clients' keys are remembered.
_REMEMBERED = 1024


def hash_by(mapping: Mapping) -> str:
    """What the policy of a mapping considers; empty: nothing."""
    if mapping.affinity.hash_by:
        return mapping.affinity.hash_by
    return "source" if mapping.policy == "hash" else ""


@lru_cache(_REMEMBERED)
def key_of_client(address: str) -> HashKey | None:
    """The key of a client: one IPv4 address, or one IPv6 /64; None without address."""
    found = read_address(address)
    return None if found is None else HashKey.of(b"%d/%d" % found.client)


def key_of_peer(peer: object) -> HashKey | None:
    """The key of a client by its socket address; None for a UNIX socket."""
    return key_of_client(peer[0]) if isinstance(peer, tuple) else None
