"""A connection to an upstream in HTTP mode: it outlives requests and clients."""

from typing import Protocol

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Upstream
from lbconsul.http.errors import Refused
from lbconsul.http.head import UNTIL_CLOSE
from lbconsul.http.request import RequestHead
from lbconsul.http.response import SWITCHING_PROTOCOLS, ResponseHead, ResponseParser
from lbconsul.net.sockets import unread
from lbconsul.net.stream import Stream
from lbconsul.proxy.http_side import LARGE, READ_SIZE, HTTPSide, Part, part_of
from lbconsul.proxy.idle_connections import IdleConnections
from lbconsul.proxy.relay import RelaySettings
from lbconsul.stats.termination import Termination

_FIRST_FINAL = 200

#: What sending to a connection that its peer has reset ends in.
_RESETS = BrokenPipeError, ConnectionResetError

#: The most reads before a part of a request is sent over TLS.
_MOST_READS = 8


class ResponseUser(Protocol):
    """What a response is for: an exchange, or a session with an ordinary request."""

    def on_interim(self, head: ResponseHead) -> None:
        """A response below 200 came; another follows."""

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        """The upstream speaks another protocol from now on, `rest` first."""

    def on_head(self, head: ResponseHead, part: Part, is_over: bool) -> None:
        """The head came, with the first part of the body; `is_over`: with all."""

    def on_body(self, part: Part, is_over: bool) -> None:
        """The next part of the body came."""

    def pass_pipe(self, upstream: HTTPSide) -> bool:
        """Whether more of the body was taken with a pipe.

        :raises OSError: as `HTTPSide.take_pipe` does; also EOFError.
        """

    def on_upstream_sent(self) -> None:
        """All that had no room is sent: the request may go on."""

    def on_request_cut(self) -> None:
        """The upstream takes no more of the request; a response may come yet."""

    def on_upstream_failed(self, termination: Termination) -> None:
        """No response, or not all of it, will come."""

    def end(self, termination: Termination) -> None:
        """End the exchange and its client's connection."""


class UpstreamConnection(HTTPSide):
    """One connection to an instance: carries a request, or is idle.

    While it is idle the poller goes on watching it: then whatever can be read says that
    it cannot be used any more.
    """

    __slots__ = (
        "_buffer",
        "_has_head",
        "_is_of_head",
        "_last",
        "_only_data",
        "_parser",
        "idle_since",
        "instance",
        "is_bound",
        "is_reusable",
        "is_reused",
        "keeper",
        "keeps",
        "upstream",
        "user",
    )

    def __init__(
        self,
        stream: Stream,
        relaying: RelaySettings,
        parser: ResponseParser,
        upstream: Upstream,
        idle: "IdleConnections[UpstreamConnection]",
    ) -> None:
        super().__init__(stream, relaying.poller, relaying.pipes)
        self._parser = parser
        self.upstream = upstream
        #: The upstream's instance at the time of the connect.
        self.instance: Instance = upstream.instance
        #: What waits for the response; None while it is idle, and once it is closed.
        self.user: ResponseUser | None = None
        #: A part of a head.
        self._buffer = b""
        self._last: ResponseHead | None = None
        self._is_of_head = self._only_data = False
        #: Whether the head of the response has come: what follows is its body, or is
        #: discarded.
        self._has_head = False
        #: Whether a request has gone before on it.
        self.is_reused = False
        #: Whether another request may follow.
        self.is_reusable = True
        #: Whether its server may take all of its requests for one client's.
        self.is_bound = False
        #: Of the row whose request it carries, or carried last.
        self.keeper = idle
        #: Since when it is idle, and how long it may be, in seconds.
        self.idle_since = 0.0
        self.keeps = idle.longest

    def begin(self, user: ResponseUser, request: bytes, head: RequestHead) -> None:
        """Send a request with this head, as received, or the beginning of one.

        :raises OSError: the peer has gone.
        """
        self.user = user
        self._is_of_head = head.method == b"HEAD"
        # A client of HTTP/1.0 gets the data of a chunked response.
        self._only_data = not head.fields.minor
        self._has_head = False
        # As in `send`, without the call: nothing is unsent.
        try:
            sent = self.stream.send(request)
        except BlockingIOError:
            sent = 0
        if sent != len(request):
            self.unsent = request[sent:]
            self._wait_to_send()

    def doRead(self) -> None:
        user = self.user
        try:
            if self.left > 0 and user is not None and user.pass_pipe(self):
                return
            data = self.stream.recv(READ_SIZE)
        except BlockingIOError:
            self._wait_to_read()
            return
        except EOFError:
            data = b""
        except OSError:
            self._on_lost()
            return
        if user is None:
            self.keeper.discard(self)
            self.close()
        elif not data:
            self._on_end(user)
        else:
            self.moved += len(data)
            last = self._last
            if (
                last is not None
                and len(last.raw) + last.fields.body == len(data)
                and last.is_of_head == self._is_of_head
                and not (self._has_head or self._buffer)
                and data.startswith(last.raw)
            ):
                # A whole response with the head of the one before: nearly always.
                self._has_head = True
                at, size = len(last.raw), len(data)
                part = data[at:] if size < LARGE else memoryview(data)[at:]
                user.on_head(last, part, True)
                return
            try:
                if self._has_head:
                    self._pass_body(user, data)
                else:
                    self._parse(user, data)
            except Refused:
                has_head, now_of = self._has_head, self.user
                assert now_of is not None
                now_of.on_upstream_failed(
                    Termination.BAD_BODY if has_head else Termination.BAD_RESPONSE
                )

    def _parse(self, user: ResponseUser, data: bytes) -> None:
        """Parse heads, and pass on the last one with what follows it."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        pos = 0
        while True:
            head = self._parser.parse(data, pos, self._is_of_head, self._last)
            if head is None:
                self._buffer = data[pos:] if pos else data
                return
            pos += len(head.raw)
            if head.status >= _FIRST_FINAL:
                break
            if head.status == SWITCHING_PROTOCOLS:
                user.on_upgraded(head, data[pos:])
                return
            user.on_interim(head)
            if self.user is None:
                return
            user = self.user  # an exchange, if it was an ordinary request
        self._last = head
        fields = head.fields
        if fields.close:
            self.is_reusable = False
        if fields.keep_alive is not None:
            # One second less: the peer's clock began earlier.
            self.keeps = min(self.keeper.longest, max(0.0, fields.keep_alive - 1.0))
        length = fields.body
        if length == len(data) - pos:  # nearly always
            self.left, self._has_head = 0, True
            user.on_head(head, part_of(data, pos, len(data)), True)
            return
        self.begin_body(length, only_data=self._only_data)
        part, end = self.take_body(data, pos)
        self._has_head = True
        self._note_end(data, end)
        user.on_head(head, part, end >= 0)

    def _pass_body(self, user: ResponseUser, data: bytes) -> None:
        part, end = self.take_body(data, 0)
        self._note_end(data, end)
        user.on_body(part, end >= 0)

    def _note_end(self, data: bytes, end: int) -> None:
        # Bytes behind the end of a response belong to no request.
        if 0 <= end < len(data):
            self.is_reusable = False

    def _on_end(self, user: ResponseUser) -> None:
        self.is_reusable = False
        if self._has_head and self.left == UNTIL_CLOSE:
            user.on_body(b"", True)
        else:
            user.on_upstream_failed(self._lost)

    @property
    def _lost(self) -> Termination:
        """How an exchange ends whose upstream is gone."""
        if self._has_head:
            return Termination.UPSTREAM_RESET
        return Termination.UPSTREAM_LEFT

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the response has come."""
        return self._has_head or bool(self._buffer)

    def _on_lost(self) -> None:
        if self.user is None:
            self.keeper.discard(self)
            self.close()
        else:
            self.user.on_upstream_failed(self._lost)

    def _on_sent(self) -> None:
        if self.user is not None:
            self.user.on_upstream_sent()

    def read_first(self) -> None:
        """Read what there is of a response before more of the request is sent.

        Only TLS needs that: OpenSSL reads nothing more once it has failed to write.
        """
        user, reads = self.user, 0
        # A read may find nothing but records without data, such as tickets.
        while (
            self.user is user
            and self.watched
            and reads < _MOST_READS
            and unread(self.stream)
        ):
            self.doRead()
            reads += 1

    def on_send_failed(self, error: OSError) -> None:
        """The upstream takes no more, but may have responded before.

        A server that refuses a request early closes its socket with the rest of it
        unread, which resets the connection behind the response.
        """
        if self.user is None or not isinstance(error, _RESETS):
            self._on_lost()
            return
        self._discard_unsent()
        self.poller.removeWriter(self)
        self.is_reusable = False
        self.user.on_request_cut()
        user = self.user
        if self.watched:  # else the client has to take what came before
            self.doRead()
            if self.user is user and not self.has_begun:
                self._on_lost()

    def release(self, now: float) -> None:
        """The exchange is over: keep the connection for others, or close it."""
        self.user = None
        if self.is_reusable and not (self.is_full or self.is_bound):
            self.is_reused = True
            self.keeper.put(self, now)
        else:
            self.close()

    def connectionLost(self, reason: Failure) -> None:
        """A callback raised, or the reactor stopped."""
        if self.user is None:
            self.keeper.discard(self)
            self.close()
        else:
            ended = reason.check(ConnectionDone)
            self.user.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def close(self) -> None:
        """Close the connection."""
        self.user, self.is_reusable = None, False
        self.drop()
