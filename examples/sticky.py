"""Stickiness: the clients of one address go to one upstream, as long as it serves.

    PYTHONPATH=examples lbconsul run myconsul:8500 80:web,hooks=sticky:BySource

Nothing is remembered: the choice is computed from the address and the upstreams' ids
(rendezvous hashing; Thaler and Ravishankar, 1998).  So all workers and all gateways
choose alike, and where an upstream leaves, only its own clients move.
"""

from hashlib import blake2b

from lbconsul import Client, Prefer, UpstreamView


class BySource:
    """Prefers one upstream for each address of clients."""

    def on_accept(self, client: Client) -> Prefer | None:
        """The upstream whose hash with the address is the greatest."""
        upstreams = client.upstreams
        if not (client.address and upstreams):
            return None

        def score(upstream: UpstreamView) -> bytes:
            both = f"{client.address} {upstream.id}".encode()
            return blake2b(both, digest_size=8).digest()

        return Prefer(max(upstreams, key=score))
