"""TLS between a stream of ours and a real peer, in one thread and without blocking."""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from OpenSSL import SSL

from lbconsul.config.model import Mapping
from lbconsul.steps import finish
from lbconsul.tls.material import building, reading
from lbconsul.tls.server import TLSServer
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Issued
from tests.support.loopback import tcp_pair
from tests.support.waiting import PATIENCE

#: What a non-blocking operation raises for "not now", ours and Python's.
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def non_blocking_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection; neither blocks."""
    ours, peer = tcp_pair()
    peer.setblocking(False)
    return ours, peer


def plain_server_context(issued: Issued) -> SSL.Context:
    """A server's context with a certificate and all defaults."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate_chain_file(issued.cert)
    context.use_privatekey_file(issued.key)
    return context


def acceptor_of(mapping: Mapping) -> TLSServer | None:
    """What serves the clients of a mapping by its files; None without TLS."""
    tls = mapping.tls
    if not tls.certificates:
        return None
    return finish(building(tls, finish(reading(str(mapping), tls)), time.time))


def server_side(
    context: SSL.Context, sock: socket.socket, *options: object
) -> TLSStream:
    """A stream that awaits a ClientHello."""
    connection = SSL.Connection(context, sock)
    connection.set_accept_state()
    return TLSStream(connection, sock, *options)  # type: ignore[arg-type]


def client_side(
    context: SSL.Context, sock: socket.socket, *options: object
) -> TLSStream:
    """A stream that sends a ClientHello."""
    connection = SSL.Connection(context, sock)
    connection.set_connect_state()
    return TLSStream(connection, sock, *options)  # type: ignore[arg-type]


def python_client(
    sock: socket.socket,
    context: ssl.SSLContext | None = None,
    name: str | None = "localhost",
) -> ssl.SSLSocket:
    """A client of Python's ssl, which verifies nothing unless its context does."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(
        sock,
        server_hostname=name,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=False,  # a cut is to show
    )


def hello(name: str | None) -> bytes:
    """What Python's ssl sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def drive(step: Callable[[], bool], what: str) -> None:
    """Take a step again and again, without a pause, until it says that all is done.

    :raises AssertionError: it never does; `what` says in words what was waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while not step():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0)  # loopback has its own thread in the kernel


def in_turn(*steps: Callable[[], object]) -> None:
    """Take all steps, each again and again until it does not say "not now"."""
    left = list(steps)

    def try_all() -> bool:
        for step in tuple(left):
            with suppress(*NOT_NOW):
                step()
                left.remove(step)
        return not left

    drive(try_all, "both sides are through")


def shake_hands(stream: TLSStream, peer: TLSStream | ssl.SSLSocket) -> None:
    """Complete the handshake of both sides."""
    in_turn(
        stream.handshake,
        peer.handshake if isinstance(peer, TLSStream) else peer.do_handshake,
    )


def read_some(stream: TLSStream, size: int = 61440) -> bytes:
    """What comes next to a stream; empty at the peer's close_notify."""
    buffer = bytearray(size)
    count = [0]

    def read() -> None:
        count[0] = stream.recv_into(buffer)

    in_turn(read)
    return bytes(buffer[: count[0]])


def peer_reads(peer: ssl.SSLSocket, size: int = 1 << 20) -> bytes:
    """What comes next to the peer; empty at our close_notify."""
    found = [b""]

    def read() -> None:
        found[0] = peer.recv(size)

    in_turn(read)
    return found[0]


def say_end(peer: ssl.SSLSocket) -> None:
    """Send the peer's close_notify, and nothing more of TCP."""
    with suppress(ssl.SSLWantReadError):
        peer.unwrap()
