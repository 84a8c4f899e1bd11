"""Why a gateway is not ready."""

from collections.abc import Iterator
from itertools import islice

from lbconsul.gateway.interfaces import Gateway

#: How many of the reasons a short text has.
_NAMED = 2


def reasons_not_ready(gateway: Gateway) -> Iterator[str]:
    """A line for each mapping that keeps the gateway from being ready."""
    for mapping in gateway.data_plane.mappings:
        why = gateway.availability.blocks(mapping)
        why = gateway.certificates.blocks(mapping) or why
        if why:
            yield f"{mapping}: {why}"
        elif not gateway.data_plane.is_listening(mapping):
            yield f"{mapping}: not listening yet"


def why_not_ready(gateway: Gateway) -> str:
    """The first reasons as one text, of however many mappings; empty if it is ready."""
    reasons = list(islice(reasons_not_ready(gateway), _NAMED + 1))
    more = ", and more" if len(reasons) > _NAMED else ""
    return "; ".join(reasons[:_NAMED]) + more
