"""The first step to an upstream, and a look at the client, on real sockets."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lbconsul.net import connect as connecting
from lbconsul.net.connect import connect, has_left
from lbconsul.net.sockets import BareSocket
from tests.support import loopback


@pytest.fixture
def client() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a client's connection, and the client's own."""
    ours, peer = loopback.tcp_pair()
    with ours, peer:
        yield ours, peer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connected_at_once(host: str) -> None:
    """A connect to a listener on this machine succeeds at once."""
    with loopback.listening(host=host) as server:
        sock, code = connect(host, server.getsockname()[1])
        assert sock is not None
        with closing(sock), loopback.accept(server):
            assert code == 0
            assert sock.getpeername() == server.getsockname()


def test_kind_of_socket() -> None:
    """The socket never blocks, and sends small pieces at once."""
    with loopback.listening() as server:
        sock, _ = connect(*server.getsockname())
        assert sock is not None
        with closing(sock):
            assert sock.gettimeout() == 0.0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not os.get_inheritable(sock.fileno())


def test_a_unix_socket(tmp_path: Path) -> None:
    """An address that is a path is a UNIX socket's, which is decided at once."""
    path = str(tmp_path / "web")
    _, code = connect(path, 0)
    assert code == errno.ENOENT
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        refused, code = connect(path, 0)
        assert refused is not None
        refused.close()
        assert code == errno.ECONNREFUSED
        server.listen(0)
        sock, code = connect(path, 0)
        assert sock is not None
        with closing(sock):
            assert code == 0
            assert sock.gettimeout() == 0.0
            assert not os.get_inheritable(sock.fileno())
            full, code = connect(path, 0)
            assert full is not None
            full.close()
            assert code == errno.EAGAIN
    long, code = connect("/" + "x" * 200, 0)
    assert long is not None
    long.close()
    assert code == errno.EINVAL


def test_no_descriptor_for_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of descriptors is reported as it is for TCP."""

    def none_left(*_: Any) -> None:
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(connecting, "BareSocket", none_left)
    assert connect("/run/web", 0) == (None, errno.EMFILE)


def test_under_way() -> None:
    """A connect to a silent address does not block."""
    with loopback.blackhole() as port:
        sock, code = connect("127.0.0.1", port)
        assert sock is not None
        with closing(sock):
            assert code in (errno.EINPROGRESS, errno.EALREADY)


@pytest.mark.parametrize(
    ("address", "codes"),
    [
        ("127.0.0.1", {errno.ECONNREFUSED}),
        ("255.255.255.255", {errno.EACCES, errno.ENETUNREACH}),
        ("fe80::1%nowhere", {errno.EINVAL, errno.ENODEV, socket.EAI_NONAME}),
    ],
)
def test_not_to_be_had(address: str, codes: set[int]) -> None:
    """A refusal, and an address without a route, are known at once."""
    with loopback.refusing() as port:
        sock, code = connect(address, port)
        assert sock is not None
        sock.close()
    assert code in codes


def test_no_descriptor() -> None:
    """
    Where no socket can be created the reason is reported, and nothing is left over.
    """
    with loopback.no_descriptor_left():
        sock, code = connect("127.0.0.1", 80)
    assert sock is None
    assert code == errno.EMFILE


def test_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that the kernel connected to itself counts as a refusal."""

    class Own(BareSocket):
        def connect_ex(self, address: Any) -> int:
            with contextlib.suppress(OSError):
                self.bind(address)
            return super().connect_ex(address)

    with loopback.listening() as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(connecting, "BareSocket", Own)
    sock, code = connect("127.0.0.1", port)
    assert sock is not None
    sock.close()
    assert code == errno.ECONNREFUSED


def _speak(peer: socket.socket) -> None:
    peer.sendall(b"question")


def _speak_and_end(peer: socket.socket) -> None:
    peer.sendall(b"question")
    peer.shutdown(socket.SHUT_WR)


def _speak_and_reset(peer: socket.socket) -> None:
    peer.sendall(b"question")
    loopback.reset(peer)


def test_silent(client: tuple[socket.socket, socket.socket]) -> None:
    """A client that says nothing is there."""
    ours, _ = client
    assert not has_left(ours)


@pytest.mark.parametrize("speak", [_speak, _speak_and_end])
def test_waits_for_an_answer(
    client: tuple[socket.socket, socket.socket], speak: Callable[[socket.socket], None]
) -> None:
    """So is a client that has sent data, even with its end; nothing of it is read."""
    ours, peer = client
    speak(peer)
    assert not has_left(ours)
    assert ours.recv(100) == b"question"


@pytest.mark.parametrize(
    "does", [socket.socket.close, loopback.reset, _speak_and_reset]
)
def test_a_client_that_left(
    client: tuple[socket.socket, socket.socket], does: Callable[[socket.socket], None]
) -> None:
    """A client that closed without a word has left, and so has one that reset."""
    ours, peer = client
    does(peer)
    assert has_left(ours)


def test_a_peer_that_cannot_be_checked(
    client: tuple[socket.socket, socket.socket],
) -> None:
    """A peer that cannot be checked has not left."""

    class Failing(socket.socket):
        def recv(self, *_: Any) -> bytes:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    ours, _ = client
    with Failing(fileno=os.dup(ours.fileno())) as failing:
        assert has_left(failing)
