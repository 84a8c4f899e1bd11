"""``lbconsul drain``, ``undrain`` and ``eject``."""

from collections import defaultdict
from itertools import chain
from typing import Any

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.short_text import clean
from lbconsul.admin.upstream_id import from_path
from lbconsul.usage.words import Given

_DONE = {"drain": "drained", "undrain": "undrained", "eject": "ejected"}


def drain(admin: Admin, given: Given) -> int:
    """Drain instances, or the gateway."""
    if "gateway" in given:
        admin.drain_gateway()
        print("the gateway drains: it ends when no connection is left")
        return 0
    return _order(admin, "drain", given)


def undrain(admin: Admin, given: Given) -> int:
    """End the drain of instances."""
    return _order(admin, "undrain", given)


def eject(admin: Admin, given: Given) -> int:
    """Eject instances."""
    return _order(admin, "eject", given)


def _order(admin: Admin, verb: str, given: Given) -> int:
    """Carry out an order for each instance, of which all must be known first.

    :raises CannotAsk: one is not known, or the gateway refuses.
    """
    ids = _Ids(admin)
    for upstream in [ids.find(each) for each in given.rest]:
        answer = admin.order(verb, upstream)
        lasts = answer.get("lasts")
        print(clean(f"{_DONE[verb]} {upstream}{f', {lasts}' if lasts else ''}"))
    return 0


class _Ids:
    """The ids of a gateway's instances."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        #: By SERVICE-ID@NODE.
        self._by_name: dict[str, set[str]] | None = None

    def find(self, word: str) -> str:
        """The id of the instance that is given as an id, or by its name.

        :raises CannotAsk: there is no such instance, or more than one.
        """
        as_id = from_path(word.split("/"))
        if as_id is not None and as_id.count("/") == word.count("/"):
            return as_id
        if self._by_name is None:
            self._by_name = names(self._admin.status())
        found = sorted(self._by_name.get(word, ()))
        if not found:
            raise CannotAsk(
                f"{self._admin.address}: no instance {word}: give SERVICE-ID@NODE, as"
                " status shows it, or DATACENTER/NODE/SERVICE-ID"
            )
        if len(found) > 1:
            raise CannotAsk(
                f"{self._admin.address}: {word} is in several datacenters: give"
                f" {' or '.join(found)}"
            )
        return found[0]


def names(status: dict[str, Any]) -> dict[str, set[str]]:
    """The ids of the instances of a status by their names there, ``SERVICE-ID@NODE``.

    :raises CannotAsk: it is no status.
    """
    found = defaultdict[str, set[str]](set)
    try:
        upstreams = (
            each
            for mapping in status["mappings"]
            for pool in mapping["pools"]
            for each in pool["upstreams"]
        )
        # What is gone from Consul can be undrained.
        for each in chain(upstreams, status.get("drained", ())):
            found[f"{each['service_id']}@{each['node']}"].add(str(each["id"]))
    except (LookupError, TypeError, AttributeError):
        raise CannotAsk("the answer is not a status of lbconsul") from None
    return found
