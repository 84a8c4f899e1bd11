"""The addresses of host names, as a gateway hands them to its successor in a takeover.

Without them a successor whose DNS servers are silent would take over without any
instance that is registered under a host name, though its predecessor knew them all.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbconsul.config.hosts import canonical
from lbconsul.consul.dns_messages import MOST_ADDRESSES

#: The addresses of each host name, the one in use first.
Addresses = Mapping[str, tuple[str, ...]]

#: The most characters of names and addresses that are handed over: one line of the
#: takeover protocol holds them beside the rest of the state.
MOST_TOLD = 1 << 20


def to_state(known: Iterable[Addresses]) -> dict[str, list[str]]:
    """The addresses from several sources, as JSON values, up to `MOST_TOLD` characters.

    Names beyond that limit are left out.
    """
    state, left = dict[str, list[str]](), MOST_TOLD
    for addresses in known:
        for host, each in addresses.items():
            # Counts JSON's quotes and commas; one character may take six in ASCII.
            left -= 6 * len(host) + 50 * len(each) + 10
            if left < 0:
                return state
            state[host] = list(each)
    return state


def from_state(state: Any) -> Addresses:
    """The addresses that `to_state` wrote; invalid entries are left out."""
    return dict(_read(state.items())) if isinstance(state, dict) else {}


def _read(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for host, each in items:
        if not isinstance(each, list) or not 0 < len(each) <= MOST_ADDRESSES:
            continue
        try:
            yield host, tuple(map(canonical, each))
        except ValueError:
            continue
