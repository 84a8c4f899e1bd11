"""A connection to an upstream that is one client's own: NTLM and Negotiate bind it."""

from attrs import frozen

from lbconsul.balance.upstream import Lease
from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.http_upstream import UpstreamConnection


@frozen(eq=False)
class BoundUpstream:
    """A connection that its server takes for one user's, between two requests.

    As it serves no one else, it is counted as in use, as HAProxy's private ones are.
    """

    #: Of the row that it belongs to.
    settings: HTTPSettings
    lease: Lease
    connection: UpstreamConnection

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and its instance still gets requests."""
        upstream = self.lease.upstream
        return (
            self.connection.is_reusable
            and upstream.serving
            and upstream.instance is self.lease.instance
        )

    def leave(self) -> None:
        """Close it."""
        self.connection.close()
        self.lease.end()
