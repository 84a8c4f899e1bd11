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
        upstream = connection.upstream
        self._log.info(
            "audit: {address} left {mapping}: {upstream}, {seconds:.3f} s,"
            " {received} bytes in, {sent} out, {termination}",
            address=connection.client.address,
            mapping=connection.client.mapping,
            upstream="no upstream" if upstream is None else upstream.id,
            seconds=connection.seconds,
            received=connection.received,
            sent=connection.sent,
            termination=connection.termination,
        )
