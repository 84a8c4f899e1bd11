"""What a dial tries next, by the upstreams that did not accept.

`tried` holds these once for each address that was tried, and `attempts` is how many
may be tried in one pool.
"""

from collections.abc import Sequence
from contextlib import suppress

from lbconsul.balance.failover import Failover
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import NoUpstream

Tried = Sequence[Upstream]


def lease_next(
    failover: Failover, tried: Tried, attempts: int, key: HashKey | None = None
) -> Lease:
    """Lease an untried upstream, else one that has an untried address.

    :raises AllFull: all that are left are full.
    :raises NoUpstream: none is left.
    """
    try:
        return failover.lease(tried, attempts, key)
    except NoUpstream:
        spent = [each for each in tried if not has_more_addresses(each, tried)]
        if len(spent) == len(tried) or len(tried) >= attempts:
            raise
        with suppress(NoUpstream):
            return failover.lease(spent, attempts)
        raise


def lease_recovered(failover: Failover, tried: Tried, attempts: int) -> Lease | None:
    """Lease an upstream that refused before a wait and accepts again by now."""
    failing = [each for each in tried if each.is_failing]
    if len(failing) == len(tried) or len(tried) >= attempts:
        return None
    with suppress(NoUpstream):
        return failover.lease(failing, attempts)
    return None


def has_more_addresses(upstream: Upstream, tried: Tried) -> bool:
    """Whether an upstream has an untried address."""
    return tried.count(upstream) <= len(upstream.instance.alternates)


def may_stay(upstream: Upstream, tried: Tried, attempts: int, *, silent: bool) -> bool:
    """Whether to try another address of the same upstream at once.

    The last attempt goes to another upstream, if there is one.  So does the next one
    after a `silent` address: the others may be silent as well.
    """
    left = attempts - len(tried)
    return left > 1 and not silent and has_more_addresses(upstream, tried)
