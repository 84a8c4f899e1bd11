"""The addresses of host names, as one gateway tells them to its successor.

Without them a successor whose DNS servers are silent would take over knowing of no
instance that is registered under a name, where its predecessor knew them all.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbconsul.config.hosts import canonical
from lbconsul.consul.dns_server import MOST_ADDRESSES

#: The addresses of names, the one in use first.
Addresses = Mapping[str, tuple[str, ...]]

#: So many characters of names and addresses are told at most: there are other things
#: to tell, and one line has room for all.
MOST_TOLD = 1 << 20


def to_state(known: Iterable[Addresses]) -> dict[str, list[str]]:
    """As JSON can hold it: what several know, as far as there is room."""
    said, left = dict[str, list[str]](), MOST_TOLD
    for addresses in known:
        for host, each in addresses.items():
            # With JSON's quotes and commas; a character may be six of its ASCII.
            left -= 6 * len(host) + 50 * len(each) + 10
            if left < 0:
                return said
            said[host] = list(each)
    return said


def from_state(said: Any) -> Addresses:
    """What was made of it; without what makes no sense."""
    return dict(_read(said.items())) if isinstance(said, dict) else {}


def _read(said: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for host, each in said:
        if not isinstance(each, list) or not 0 < len(each) <= MOST_ADDRESSES:
            continue
        try:
            yield host, tuple(map(canonical, each))
        except ValueError:
            continue
