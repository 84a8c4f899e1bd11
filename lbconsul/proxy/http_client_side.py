"""The client's connection in HTTP mode, as exchanges see it."""

from abc import abstractmethod
from enum import Enum, auto

from lbconsul.balance.instance import Identity
from lbconsul.net.sockets import BareSocket
from lbconsul.net.splice import Pipe
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.http_bound import BoundUpstream
from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.http_side import HTTPSide
from lbconsul.stats.termination import Termination


class HTTPState(Enum):
    """What a session reads from its client."""

    #: A head; no exchange is under way.
    HEAD = auto()
    #: The body of the exchange's request.
    BODY = auto()
    #: Nothing: the request is complete.  What comes is kept for later.
    WAITING = auto()
    #: Nothing: the client is to end the connection.
    CLOSING = auto()
    #: The streams belong to a relay.
    UPGRADED = auto()
    #: Closed, counted and logged.
    OVER = auto()


# Bound once: to read a member from its class takes 0.2 us in Python 3.11.
HEAD, BODY, WAITING, CLOSING, UPGRADED, OVER = HTTPState


class HTTPClientSide(HTTPSide):
    """What a client's requests come from, and the responses go to."""

    __slots__ = (
        "_buffer",
        "address",
        "bound",
        "has_ended",
        "info",
        "read_at",
        "settings",
        "sock",
        "state",
    )

    # Set by the class that is made, at once: a chain of initializers would cost calls.
    #: What the sessions of its mapping share.
    settings: HTTPSettings
    #: The client's socket, below any TLS, and its address.
    sock: BareSocket
    address: object
    #: What is known of the client from its handshake, if there was one.
    info: ClientInfo | None
    state: HTTPState
    #: When it came to what it reads now, in the reactor's time.
    read_at: float
    #: What has come and is not served yet.
    _buffer: bytes
    #: Whether the client has ended its direction.
    has_ended: bool
    #: The upstream that has authenticated the client's connection, if one has.
    bound: BoundUpstream | None

    #: The instance that a hook prefers for the client; None: there is none.
    prefers: Identity | None = None

    @property
    def is_in_body(self) -> bool:
        """Whether more of the request's body is to come."""
        return self.state is BODY

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if self.state is BODY:
            self.pause()

    def resume_body(self) -> None:
        """Read on."""
        if self.state is BODY:
            self.resume()

    def send_or_end(self, data: bytes) -> bool:
        """Send to the client; returns false if it has gone."""
        try:
            self.send(data)
        except OSError:
            self.end(self._client_left)
            return False
        return True

    def send_pipe_or_end(self, pipe: Pipe) -> bool:
        """Send what a pipe holds; returns false if the client has gone."""
        try:
            self.send_pipe(pipe)
        except OSError:
            self.end(Termination.CLIENT_RESET)
            return False
        return True

    def unbind(self) -> None:
        """Close the connection to the upstream that is this client's alone."""
        if self.bound is not None:
            self.bound.leave()
            self.bound = None

    @property
    @abstractmethod
    def _client_left(self) -> Termination:
        """How an exchange ends whose client has gone."""

    @abstractmethod
    def answer(self, status: int, termination: Termination, error: str = "") -> None:
        """Answer in place of an upstream; `error` tells the log why."""

    @abstractmethod
    def upgrade(self, answer: bytes) -> None:
        """Relay from now on; `answer` goes to the client first."""

    @abstractmethod
    def check_progress(self, now: float, received: int, least: int) -> None:
        """End the connection if bodies have come to a standstill, or nearly so.

        `received` bytes came on the upstream's connection; `least` are the bytes a
        second that the client has to move, 0 if it may take its time.
        """

    @abstractmethod
    def on_exchange_over(self, termination: Termination = Termination.DONE) -> None:
        """The response is over, and the request, or the connection ends with it."""

    @abstractmethod
    def end(self, termination: Termination) -> None:
        """Close the client's connection.  Later calls do nothing."""
