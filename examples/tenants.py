"""A limit for each tenant: no more than so many connections at a time.

    PYTHONPATH=examples lbconsul run myconsul:8500 \\
        443:app,tls=/etc/tls,hooks=tenants:PerTenant

A tenant is the server name that a client asks for by TLS, as in
``acme.app.example.com``; without TLS it is the client's address.  Another limit is a
class of your own: ``class Few(PerTenant): most = 10``.  Each worker process has an
object of its own, and counts the connections that it serves.
"""

from collections import Counter

from lbconsul import Client, Connection, Deny


class PerTenant:
    """Denies a tenant's clients beyond `most` open connections."""

    most = 100

    def __init__(self) -> None:
        self.open = Counter[str]()

    def on_accept(self, client: Client) -> Deny | None:
        """Count a client, unless its tenant has enough."""
        tenant = self.tenant(client)
        if self.open[tenant] >= self.most:
            return Deny(f"{tenant} has {self.most} connections")
        self.open[tenant] += 1
        return None

    def on_end(self, connection: Connection) -> None:
        """Count it no more."""
        tenant = self.tenant(connection.client)
        self.open[tenant] -= 1
        if not self.open[tenant]:
            del self.open[tenant]

    def tenant(self, client: Client) -> str:
        """Which tenant a client belongs to."""
        return client.server_name or client.address
