"""A relay of TLS and plain streams between two peers, turned by hand in one thread."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import Factory, define, field
from OpenSSL import SSL

from lbconsul.net.poller import Poller, open_poller
from lbconsul.net.splice import Pipes
from lbconsul.net.stream import Stream
from lbconsul.proxy.relay import RelaySettings
from lbconsul.proxy.tls_relay import TLSRelay
from lbconsul.proxy.tls_side import TLSSide
from lbconsul.stats.termination import Termination
from lbconsul.tls.openssl import Buffer, DirectCalls
from tests.support.certificates import Authority
from tests.support.loopback import tcp_pair
from tests.support.recording_reactor import RecordingReactor
from tests.support.tls import drive, in_turn, plain_server_context, server_side

#: The idle limit and the limit of a half-closed relay, in seconds.
IDLE, HALF_CLOSED = 80.0, 16.0

_SIZE = 1 << 16


class Peer:
    """A peer without TLS, whose operations do not block."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.received = bytearray()
        #: How what it reads ended: "end", "cut" or "reset"; empty: not yet.
        self.saw = ""

    def say(self, data: bytes) -> int:
        """Send the beginning of it; how many bytes."""
        try:
            return self._send(data) if data else 0
        except (BlockingIOError, SSL.WantReadError, SSL.WantWriteError):
            return 0

    def hear(self, most: int = _SIZE) -> None:
        """Read what is there."""
        try:
            data = self._recv(most)
        except (BlockingIOError, SSL.WantReadError, SSL.WantWriteError):
            return
        except (ConnectionResetError, SSL.SysCallError) as error:
            self.saw = "cut" if error.args[0] == -1 else "reset"
            return
        self.received += data
        self.saw = "" if data else "end"

    def end(self) -> bool:
        """End the own direction; whether that was possible."""
        self.sock.shutdown(socket.SHUT_WR)
        return True

    def leave(self) -> None:
        """End TCP, without close_notify; what was unread would make it a reset."""
        self.hear()
        self.sock.close()

    def _send(self, data: bytes) -> int:
        return self.sock.send(data)

    def _recv(self, most: int) -> bytes:
        return self.sock.recv(most)


class TLSPeer(Peer):
    """A peer with TLS, of pyOpenSSL."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), sock)
        self.connection.set_connect_state()
        #: What could not be sent: OpenSSL wants the same again.
        self._again = b""

    def handshake(self) -> None:
        """Continue the handshake; raises BlockingIOError until it is complete."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            raise BlockingIOError from None

    def end(self) -> bool:
        """Send close_notify, and leave TCP open."""
        try:
            self.connection.shutdown()
        except SSL.WantWriteError:
            return False
        return True

    def _send(self, data: bytes) -> int:
        data, self._again = self._again or data, self._again or data
        count: int = self.connection.send(data)
        self._again = b""
        return count

    def _recv(self, most: int) -> bytes:
        try:
            return self.connection.recv(most)
        except SSL.ZeroReturnError:
            return b""


class HinderedCalls(DirectCalls):
    """Calls of OpenSSL, of which the next ones end as a test wants."""

    def __init__(self, connection: SSL.Connection) -> None:
        super().__init__(connection)
        #: How the next reads, writes and shutdowns end.
        self.reads: list[int | OSError] = []
        self.writes: list[int | OSError] = []
        self.shutdowns: list[int | OSError] = []

    def read(self, buffer: Buffer, start: int, most: int) -> int:
        return _next(self.reads) or super().read(buffer, start, most)

    def write(self, data: bytes | memoryview) -> tuple[int, int]:
        outcome = _next(self.writes)
        return (0, outcome) if outcome else super().write(data)

    def shutdown(self) -> int:
        return _next(self.shutdowns) or super().shutdown()


def _next(outcomes: list[int | OSError]) -> int:
    outcome = outcomes.pop(0) if outcomes else 0
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def hinder(side: TLSSide) -> HinderedCalls:
    """The calls of a side, for a test to hinder."""
    assert side.tls is not None
    assert isinstance(side.tls._calls, HinderedCalls)
    return side.tls._calls


@define(eq=False)
class Stage:
    """The relay, its peers, and what it reported."""

    reactor: RecordingReactor
    poller: Poller
    client: Peer
    upstream: Peer
    relay: TLSRelay = field(init=False)
    over: list[tuple[Termination, bool]] = Factory(list)
    #: Bytes from the client and from the upstream, of a relay that is over.
    moved: tuple[int, int] = 0, 0

    def join(self, client: Stream, upstream: Stream) -> None:
        """Begin the relay."""
        settings = RelaySettings(self.poller, self.reactor, Pipes(), IDLE, HALF_CLOSED)
        now = self.reactor.seconds()
        self.relay = TLSRelay(settings, self, client, upstream, now)
        self.poller.addReader(self.relay.upstream, self.relay.client)

    def on_first_byte(self) -> None:
        """The upstream's first byte arrived."""

    def on_moved(self, received: int, sent: int) -> None:
        """Bytes moved."""

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        self.moved = self.relay.client.moved, self.relay.upstream.moved
        self.over.append((termination, by_upstream))

    def until(self, done: Callable[[], object], what: str) -> None:
        """Turn until something is true."""

        def step() -> bool:
            self.reactor.turn(0)
            return bool(done())

        drive(step, what)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a check each second."""
        for _ in range(int(seconds)):
            self.reactor.advance(1.0)
            self.reactor.turn(0)
            if not self.over:
                self.relay.check(self.reactor.seconds())

    def runs_out(self, limit: float, termination: Termination) -> None:
        """Pass time until a limit ends the relay, and not before.

        It counts from when bytes last moved, by the relay's own reckoning: peers'
        kernels acknowledge after some milliseconds what is not read, such as session
        tickets, whatever the time is here.
        """

        def step() -> bool:
            self.pass_time(1)
            return bool(self.over)

        self.until(step, "the relay's end")
        assert self.reactor.seconds() - self.relay.moved_at == limit
        self.is_over(termination, by_upstream=False)

    def hears(self, peer: Peer, data: bytes) -> None:
        """Turn until a peer has heard so much, and compare."""

        def step() -> bool:
            peer.hear()
            return len(peer.received) >= len(data) or bool(peer.saw)

        self.until(step, f"{len(data)} bytes arrive")
        assert peer.received == data
        peer.received.clear()

    def sees(self, peer: Peer, ending: str) -> None:
        """Turn until what a peer reads ends, in this way."""

        def step() -> bool:
            self.reactor.advance(0)
            peer.hear()
            return bool(peer.saw)

        self.until(step, "an end")
        assert peer.saw == ending

    def is_over(self, termination: Termination, *, by_upstream: bool) -> None:
        """Turn until the relay is over, in this way."""
        self.until(lambda: self.over, "the relay's end")
        self.reactor.advance(0)
        assert self.over == [(termination, by_upstream)]


def server_context() -> SSL.Context:
    """A server's context, whose clients verify nothing."""
    with TemporaryDirectory() as folder:
        issued = Authority(Path(folder)).issue("localhost")
        return plain_server_context(issued)


@contextmanager
def relay_stage(
    kinds: tuple[str, str], context: SSL.Context, buffers: int = 0
) -> Iterator[Stage]:
    """A relay between a client and an upstream, each "plain" or "tls".

    The buffers of the relay's sockets have so many bytes, if that is not 0.
    """
    with ExitStack() as held:
        streams: list[Stream] = []
        peers: list[Peer] = []
        for kind in kinds:
            ours, theirs = tcp_pair()
            for sock in (ours, theirs):
                held.callback(sock.close)
                if buffers:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            if kind == "plain":
                streams.append(ours)
                peers.append(Peer(theirs))
                continue
            # To the relay it makes no difference which side began the handshake.
            stream, peer = server_side(context, ours, HinderedCalls), TLSPeer(theirs)
            in_turn(stream.handshake, peer.handshake)
            streams.append(stream)
            peers.append(peer)
        reactor = RecordingReactor()
        poller = open_poller(reactor)
        held.callback(poller.stop)
        stage = Stage(reactor, poller, peers[0], peers[1])
        stage.join(*streams)
        yield stage
        if not stage.over:
            stage.relay.end(Termination.HARD_STOP, reset=True)
        reactor.advance(0)


def noise(size: int) -> bytes:
    """So many random bytes."""
    return os.urandom(size)
