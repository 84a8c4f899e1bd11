"""A request of HTTP mode: what came of it, and what is sent of it to an upstream."""

from abc import abstractmethod
from collections.abc import Sequence

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.http.errors import Refused
from lbconsul.http.head import CHUNKED
from lbconsul.limits.request_counts import RequestCount
from lbconsul.net.splice import Pipe
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.http_client_side import HTTPClientSide
from lbconsul.proxy.http_held_response import HeldResponse
from lbconsul.proxy.http_plan import Plan, host_of
from lbconsul.proxy.http_side import Part
from lbconsul.proxy.http_upstream import ResponseUser, UpstreamConnection
from lbconsul.stats.termination import Termination

#: The longest body that is kept to be sent again, in bytes.
MOST_KEPT = 65536


class ForwardedRequest(ResponseUser):
    """Sends the request of one exchange to its upstream, as far as it has come.

    Times are the reactor's, in seconds.
    """

    # Each request makes one: what few of them have is a default of the class, not an
    # assignment.

    #: When the connect to the upstream that answers began, the request was sent to it,
    #: and the head of the response came; 0 before.
    connecting_at = sent_at = answered_at = 0.0
    #: Its use of an upstream, and the connection, once there is one.
    lease: Lease | None = None
    upstream: UpstreamConnection | None = None
    #: The last instance that did not accept, if none did.
    failed: Instance | None = None
    #: What counts it among the requests under way, if they have a limit.
    requests: RequestCount | None = None
    #: Whether the upstream's connection had been kept idle.
    is_reused = False
    _dial: DialAttempt | None = None
    #: The body as far as it has come, to be sent, or sent again; None if it is not kept
    #: any more.
    _body: bytes | None = b""
    #: Whether the client waits to be told to send the body.
    awaits_continue = False
    #: Whether the upstream takes no more of the body: the rest is discarded.
    is_cut = False
    #: Bytes of bodies from the client, and from the upstream.
    received = sent = 0
    #: Those of them that are counted already.
    counted_received = counted_sent = 0
    #: Bytes of the head of the response.
    head_sent = 0
    #: The status of the response; 0 before there is one.
    status = 0
    #: The fields of the response, if the log shows any.
    response_fields = b""
    #: The coding that its response has got from the gateway; empty: none.
    coding = ""
    #: Bytes of its content before that.
    plain = 0
    #: Whether it waits until its credentials are verified; and who has sent it then.
    awaits_login = False
    user = ""
    #: Why the response is one of the gateway's own, in a word, and in detail.
    reason = error = ""
    #: Whether the response is over.
    is_answered = False
    #: How often it was tried again: connects, and requests that were sent again.
    retries = 0
    #: The upstreams that answered with an error, or not at all, and a response of the
    #: last that did, in case that no other one is better.
    _tried: Sequence[Upstream] = ()
    _held: HeldResponse | None = None

    def __init__(
        self,
        session: HTTPClientSide,
        plan: Plan,
        request_id: bytes,
        since: float,
        now: float,
    ) -> None:
        self._session = session
        self.plan = plan
        #: The mapping or route that serves it, and its settings.
        self._row = plan.row
        settings = self._settings = plan.settings
        settings.active += 1
        head = self.head = plan.head
        self.raw = head.raw
        self.request_id = request_id
        #: When the first byte of the request came, and when its head was complete.
        self.since = since
        self.begun_at = now
        #: Whether the client's connection ends with it.
        self.close = head.fields.close

    def take_over(self, upstream: UpstreamConnection, body: bytes) -> None:
        """Go on with a request that was sent there at once, on a use that is counted.

        `body` is all of it.
        """
        self._body = body if self.plan.is_idempotent else None
        self.received = len(body)
        self.upstream, self.is_reused = upstream, True
        self.lease = self._row.dialer.failover.lease_of(upstream.upstream)
        self.connecting_at = self.sent_at = self.begun_at

    def _check_size(self, size: int) -> None:
        """Refuse a body of so many bytes, with the sizes of its chunks, if too many."""
        most = self._settings.mapping.http.max_body
        if size > most > 0:
            raise Refused(413, f"its body has {size} bytes: max-body={most}")

    def _send(self, upstream: UpstreamConnection, now: float) -> None:
        """Send the request, as far as it has come."""
        self.upstream, self.sent_at = upstream, now
        self.is_reused = upstream.is_reused
        head, session, plan = self.head, self._session, self.plan
        lines = plan.lines
        if self._settings.edits:
            instance = upstream.instance
            host = host_of(instance.address, instance.port)
            lines = plan.lines_for(self.request_id, host)
        if not plan.request_id:
            lines += b"X-Request-ID: %b\r\n" % self.request_id
        request = b"%b%b\r\n%b" % (plan.line, lines, self._body or b"")
        if head.fields.binds:
            upstream.is_bound = True
        try:
            upstream.begin(self, request, head)
        except OSError:  # nothing was sent
            self._on_failed_at(upstream, Termination.UPSTREAM_LEFT, is_safe=True)
            return
        if not self.plan.is_idempotent:
            self._body = None  # it is not sent again
        if upstream.is_full:
            session.pause_body()

    def add_body(self, part: Part) -> None:
        """Pass on more of the request's body.

        :raises Refused: it is too large.
        """
        self.received += len(part)
        if self.head.fields.body == CHUNKED:
            self._check_size(self.received)
        if self._body is not None:
            self._body += part
        upstream = self.upstream
        if upstream is None:
            return  # it goes with the head
        if self._body is not None and len(self._body) > MOST_KEPT:
            self._body = None
        if not upstream.splices:
            upstream.read_first()
            if self.upstream is not upstream:
                return  # the response is over, or there is none
        try:
            upstream.send(part)
        except OSError as error:
            upstream.on_send_failed(error)
            return
        if upstream.is_full:
            self._session.pause_body()

    def add_pipe(self, pipe: Pipe) -> None:
        """Pass on more of the request's body, which a pipe holds."""
        upstream, self._body = self.upstream, None
        assert upstream is not None
        self.received += pipe.held
        try:
            upstream.send_pipe(pipe)
        except OSError as error:
            upstream.on_send_failed(error)
            return
        if upstream.is_full:
            self._session.pause_body()

    def on_not_sent(self, body: bytes) -> None:
        """Nothing was sent of a request that was taken over: it may be repeated."""
        assert self.upstream is not None
        self._body = body
        self._on_failed_at(self.upstream, Termination.UPSTREAM_LEFT, is_safe=True)

    @abstractmethod
    def _on_failed_at(
        self, upstream: UpstreamConnection, termination: Termination, *, is_safe: bool
    ) -> None:
        """The connection failed; `is_safe`: nothing speaks against a repetition."""
