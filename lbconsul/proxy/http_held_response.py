"""A response that waits: another upstream may have a better one."""

from attrs import frozen

from lbconsul.balance.upstream import Lease
from lbconsul.http.response import ResponseHead
from lbconsul.proxy.http_side import Part
from lbconsul.proxy.http_upstream import UpstreamConnection


@frozen(eq=False)
class HeldResponse:
    """A response with an error, which the client gets if there is no better one.

    What has come of it is kept; the rest stays with the upstream, which is not read.
    """

    lease: Lease
    upstream: UpstreamConnection
    head: ResponseHead
    part: Part
    #: Whether it is whole.
    is_over: bool

    def wait(self) -> None:
        """Read no more of it, nor send what may be left of the request."""
        self.upstream.pause()
        self.upstream.poller.removeWriter(self.upstream)

    def leave(self, now: float) -> None:
        """It is not needed: free its upstream."""
        if self.is_over:
            self.upstream.resume()
            self.upstream.release(now)
        else:
            self.upstream.close()
        self.lease.end()
