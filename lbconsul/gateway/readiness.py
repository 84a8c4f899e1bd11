"""Why a gateway is not ready."""

from collections.abc import Iterator

from lbconsul.gateway.interfaces import Gateway


def reasons_not_ready(gateway: Gateway) -> Iterator[str]:
    """A line for each mapping that keeps the gateway from being ready."""
    for mapping in gateway.data_plane.mappings:
        why = gateway.availability.blocks(mapping)
        why = gateway.certificates.blocks(mapping) or why
        if why:
            yield f"{mapping}: {why}"
        elif not gateway.data_plane.is_listening(mapping):
            yield f"{mapping}: not listening yet"
