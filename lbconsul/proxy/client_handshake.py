"""A client's handshake: what comes between its accept and its session."""

import socket
from collections.abc import Callable, Iterable

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.upstream import Lease
from lbconsul.net.proxy_protocol import MAX_HEADER, BadHeader, Header, parse
from lbconsul.net.sockets import (
    BareSocket,
    await_bytes,
    has_ended,
    reset_on_close,
    unread,
)
from lbconsul.net.stream import Stream
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.handshake_settings import HandshakeState, Step
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import IntroducedSession
from lbconsul.stats.termination import Termination


@implementer(IReadWriteDescriptor)
class ClientHandshake:
    """Takes a client through the steps of its mapping, then makes a session of it.

    It is one of its proxy's open sessions meanwhile.  The poller watches it, and the
    proxy's sweeper checks its time limits.
    """

    __slots__ = (
        "_client",
        "_deadline",
        "_header",
        "_peeked",
        "_proxy",
        "_step",
        "_steps",
        "_via",
        "accepted_at",
        "address",
        "is_admitted",
        "lease",
        "state",
        "stream",
        "watched",
    )

    #: Never set: a handshake uses no upstream.
    lease: Lease
    _step: Step

    def __init__(
        self,
        proxy: MappingProxy,
        steps: Iterable[Step],
        client: BareSocket,
        address: object,
        accepted_at: float,
    ) -> None:
        self._proxy = proxy
        #: The client's socket, which the poller watches; and the stream on it.
        self.stream = client
        self._client: Stream = client
        self.address = address
        self.accepted_at = accepted_at
        #: Whether access control has let the client in, and counts it.
        self.is_admitted = False
        #: The proxy that announced the client, and what it said.
        self._via: object = None
        self._header: Header | None = None
        self._steps = iter(steps)
        #: How many bytes there were when a step last found too few of them.
        self._peeked = 0
        #: Events watched; only the poller changes it.
        self.watched = 0

    @property
    def is_over(self) -> bool:
        """Whether the client has left this handshake, closed or with a session."""
        return self.state is HandshakeState.OVER

    @property
    def is_relaying(self) -> bool:
        """Never: a handshake has no upstream."""
        return False

    @property
    def moved_at(self) -> float:
        """When the client was accepted."""
        return self.accepted_at

    def start(self) -> None:
        """Begin with the first step: often the client has sent its bytes by now."""
        self._enter(next(self._steps))
        self._proxy.dial_sweeper.add(self)
        try:
            if self.state is HandshakeState.PROXY_HEADER or self._admit():
                self.doRead()
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    def _enter(self, step: Step) -> None:
        self._step, self.state = step, step.state
        self._deadline = self._proxy.clock.seconds() + step.timeout

    # The poller's and the sweeper's calls.

    def fileno(self) -> int:
        """The socket's descriptor, for a reactor."""
        return self.stream.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "handshake"

    def doRead(self) -> None:
        """Take as many steps as what the client has sent allows."""
        while _TAKE[self.state](self):
            following = next(self._steps, None)
            if following is None:
                self._hand_over()
                return
            self._enter(following)

    def doWrite(self) -> None:
        """Called by the poller: go on, as after a read."""
        self.doRead()

    def connectionLost(self, reason: Failure) -> None:
        """The socket failed, a callback raised, or the reactor stopped."""
        if reason.check(ConnectionLost):
            self.end(self._step.left)
        else:
            ended = reason.check(ConnectionDone)
            self.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def check(self, now: float) -> None:
        """Close the client if its step takes too long."""
        if now >= self._deadline:
            self.end(self._step.overdue)
        elif self._peeked and not self.watched:
            self.doRead()

    # Steps: each returns whether it is complete; if not, it is tried again when the
    # poller sees more.

    def _read_header(self) -> bool:
        data = self._peek(MAX_HEADER)
        if not data:
            return False
        try:
            header = parse(data)
        except BadHeader as error:
            self.end(Termination.BAD_HEADER, str(error))
            return False
        if header is None:
            self._await_more(len(data))
            return False
        self._await_any()
        self.stream.recv(header.length)  # and no byte of what follows
        self._header = header
        if header.source is not None:
            self._via, self.address = self.address, header.source
        return self._admit()

    def _await_byte(self) -> bool:
        return bool(self._peek(1))

    def _peek(self, most: int) -> bytes:
        """Bytes that the client has sent, which stay unread; empty if none are there.

        Ends the handshake if none can come any more.
        """
        data = b""
        try:
            data = self.stream.recv(most, socket.MSG_PEEK)
        except BlockingIOError:
            self._proxy.relaying.poller.addReader(self)
            return b""
        except OSError:
            pass
        if not data:
            self.end(self._step.left)
        return data

    def _await_more(self, count: int) -> None:
        """Wait for more than the `count` bytes that are there, unread."""
        poller, is_stuck = self._proxy.relaying.poller, count == self._peeked
        self._peeked = count
        if has_ended(self.stream) and unread(self.stream) == count:
            self.end(self._step.left)
        elif self.stream.family == socket.AF_UNIX or is_stuck:
            # The poller would report the same bytes again and again: `check` looks.
            poller.removeReader(self)
        else:
            await_bytes(self.stream, count + 1)
            poller.addReader(self)

    def _await_any(self) -> None:
        """Have the poller report any byte again."""
        if self._peeked and self.stream.family != socket.AF_UNIX:
            await_bytes(self.stream, 1)
        self._peeked = 0

    def _admit(self) -> bool:
        """Whether access control lets the client in; if not, the handshake is over."""
        control = self._proxy.access_control
        refused = None if control is None else control.refuse(self.address)
        if refused is None:
            self.is_admitted = True
            return True
        # As in `MappingProxy.turn_away`.
        reset_on_close(self.stream)
        self.end(refused)
        return False

    # The end.

    def end(self, termination: Termination, error: str = "") -> None:
        """Close the client.  Later calls do nothing."""
        if self.is_over:
            return
        proxy = self._proxy
        self._leave()
        self._client.close()
        proxy.stats.turned_away(termination.code)
        proxy.log.tell(
            self.address,
            self.accepted_at,
            None,
            0,
            0,
            0,
            termination,
            self._info(error),
        )
        proxy.closed(self)

    def _hand_over(self) -> None:
        """Make a session of the client."""
        proxy = self._proxy
        self._leave()
        session = IntroducedSession(
            proxy,
            self._client,
            self.stream,
            self.address,
            self.accepted_at,
            self._info(),
        )
        proxy.sessions.discard(self)
        proxy.sessions.add(session)
        session.start()

    def _info(self, error: str = "") -> ClientInfo | None:
        if error or self._header is not None:
            return ClientInfo(self._via, self._header, error)
        return None

    def _leave(self) -> None:
        """Leave the poller and the sweeper."""
        poller = self._proxy.relaying.poller
        poller.removeReader(self)
        poller.removeWriter(self)
        self._proxy.dial_sweeper.items.discard(self)
        self.state = HandshakeState.OVER


_TAKE: dict[HandshakeState, Callable[[ClientHandshake], bool]] = {
    HandshakeState.PROXY_HEADER: ClientHandshake._read_header,
    HandshakeState.FIRST_BYTE: ClientHandshake._await_byte,
}
