"""Bytes that are looked at and stay in the kernel, turned by hand."""

import socket
from collections.abc import Callable, Iterator

import pytest

from lbconsul.net.sockets import set_nodelay
from lbconsul.proxy.handshake_socket import HandshakeSocket
from tests.support import loopback
from tests.support.recording_reactor import RecordingReactor


class FiveBytes(HandshakeSocket):
    """Waits for five bytes."""

    def __init__(self, client: socket.socket, poller: RecordingReactor) -> None:
        super().__init__(client, poller)
        self.looked = 0
        self.found = b""
        self.has_left = False

    def doRead(self) -> None:
        self.looked += 1
        data = self._peek(5)
        if len(data) == 5:
            self._stop_polling()
            self._await_any()
            self.found = data
        elif data:
            self._await_more(len(data))

    def _on_left(self) -> None:
        self._stop_polling()
        self.has_left = True

    def look_again(self) -> None:
        self._look_again()


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=[loopback.tcp_pair, socket.socketpair], ids=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Our socket, and the client's."""
    make: Callable[[], Pair] = request.param
    ours, peer = make()
    ours.setblocking(False)
    set_nodelay(peer)
    with ours, peer:
        yield ours, peer


def test_pieces(pair: Pair) -> None:
    """Too few bytes are not reported again and again, and nothing is taken."""
    ours, peer = pair
    reactor = RecordingReactor()
    waiting = FiveBytes(ours, reactor)
    waiting.doRead()
    for piece in (b"a", b"bcd"):
        peer.sendall(piece)
        reactor.settle()
        waiting.look_again()
        reactor.settle()
    assert waiting.looked < 6
    peer.sendall(b"efg")
    reactor.settle()
    waiting.look_again()
    assert waiting.found == b"abcde"
    assert ours.recv(10) == b"abcdefg"
    peer.sendall(b"!")
    assert ours.recv(10) == b"!"
    assert not reactor.reading()


def test_end_behind_bytes(pair: Pair) -> None:
    """A client that ends with too few bytes has left."""
    ours, peer = pair
    reactor = RecordingReactor()
    waiting = FiveBytes(ours, reactor)
    peer.sendall(b"abc")
    waiting.doRead()
    peer.shutdown(socket.SHUT_WR)
    reactor.settle()
    waiting.look_again()
    assert waiting.has_left


def test_all_and_the_end(pair: Pair) -> None:
    """One whose bytes are enough has not, though its end came with them."""
    ours, peer = pair
    reactor = RecordingReactor()
    waiting = FiveBytes(ours, reactor)
    peer.sendall(b"abc")
    waiting.doRead()
    peer.sendall(b"de")
    peer.shutdown(socket.SHUT_WR)
    reactor.settle()
    waiting.look_again()
    assert (waiting.found, waiting.has_left) == (b"abcde", False)


def test_reported_without_need(pair: Pair) -> None:
    """
    Where the poller reports the same bytes again, as it does when the kernel is short
    of memory, it is not asked any more: the caller looks from time to time.
    """
    ours, peer = pair
    reactor = RecordingReactor()
    waiting = FiveBytes(ours, reactor)
    peer.sendall(b"abc")
    waiting.doRead()
    waiting.doRead()
    assert not reactor.reading()
    peer.sendall(b"de")
    waiting.look_again()
    assert waiting.found == b"abcde"
