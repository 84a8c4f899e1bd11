"""An audit trail: who came when, under which name, where to, and what was moved.

    PYTHONPATH=examples lbconsul run myconsul:8500 \\
        443:vault,tls=/etc/tls,client-ca=/etc/ca.pem,hooks=audit:Trail

The lines go to the gateway's log, which never holds up the reactor, with workers too;
``--log-format json`` has each part of them as a field of its own.
"""

from twisted.logger import Logger

from lbconsul import Client, Connection


class Trail:
    """Logs the begin and the end of each client's connection."""

    _log = Logger()

    def on_accept(self, client: Client) -> None:
        """Log who comes."""
        self._log.info(
            "audit: {address} came to {mapping} as {who}",
            address=client.address,
            mapping=client.mapping,
            who=client.common_name or "anonymous",
        )

    def on_end(self, connection: Connection) -> None:
        """Log what has become of it."""
        client = connection.client
        self._log.info(
            "audit: {address} left {mapping}: {moved}, {seconds} s, {termination}",
            address=client.address,
            mapping=client.mapping,
            moved=_moved(connection),
            seconds=round(connection.seconds, 3),
            termination=connection.termination,
        )


def _moved(connection: Connection) -> str:
    """What was moved, and by which upstream: in HTTP mode requests have theirs."""
    if connection.requests is not None:
        return f"{connection.requests} requests"
    if connection.upstream is None:
        return "no upstream"
    bytes_moved = f"{connection.received} bytes in, {connection.sent} out"
    return f"{connection.upstream.id}, {bytes_moved}"
