"""What tells two checks of an instance apart: all that decides their results."""

from typing import Self

from attrs import evolve, frozen

from lbconsul.config.check import Check, Probe
from lbconsul.config.model import Mapping, UpstreamTLS


@frozen(cache_hash=True)  # it is a part of many keys
class CheckSpec:
    """A check as one instance meets it; mappings with an equal one share its results.

    What follows from a result, `initial` and `fail_open`, is each mapping's own.
    """

    probe: Probe
    options: Check
    tls: UpstreamTLS
    #: The version of the PROXY header that comes first, ``v1``, ``v2``, or ``off``.
    header: str

    @classmethod
    def of(cls, mapping: Mapping) -> Self | None:
        """The check of a mapping; None if it has none."""
        check = mapping.check
        if check.probe is None:
            return None
        shared = evolve(check, initial="up", fail_open=True)
        header = mapping.proxy_protocol.send
        return cls(check.probe, shared, mapping.upstream_tls, header)
