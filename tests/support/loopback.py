"""Sockets on loopback, and what can be done to them."""

import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

from tests.support import waiting

#: The longest that anything on loopback may take, in seconds.
PATIENCE = waiting.PATIENCE

Address = tuple[str, int]

#: The processors that this process may use, while it is pinned to one of them.
_allowed: set[int] = set()


def pin() -> None:
    """Run on one processor until `unpin`, and by then have called `arrive`.

    Packets on loopback wait in a queue of the processor that has sent them.  Usually
    that is empty when the call that sends returns; on a busy machine a thread of the
    kernel empties it later.
    """
    if not _allowed and (allowed := os.sched_getaffinity(0)):
        _allowed.update(allowed)
        os.sched_setaffinity(0, [sorted(allowed)[os.getpid() % len(allowed)]])


def unpin() -> None:
    """Run on any processor again, if this process was pinned to one."""
    if _allowed:
        os.sched_setaffinity(0, _allowed)
        _allowed.clear()


def arrive() -> None:
    """Return once all has arrived that this pinned process has sent on loopback.

    A packet that is sent now comes behind it.  Three of them, each sent when the one
    before has come: a connection is there with its third packet.
    """
    probe = _probe()
    for _ in range(3):
        probe.send(b".")
        probe.recv(1)


@cache
def _probe() -> socket.socket:
    probe = socket.socket(type=socket.SOCK_DGRAM)
    probe.settimeout(PATIENCE)
    probe.bind(("127.0.0.1", 0))
    probe.connect(probe.getsockname())
    return probe


def listening(backlog: int = 1024, host: str = "127.0.0.1") -> socket.socket:
    """A server's socket; what it accepts must come within `PATIENCE`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, 0), family=family, backlog=backlog)
    server.settimeout(PATIENCE)
    return server


def connect(address: object) -> socket.socket:
    """A client of a TCP or a UNIX address, whose operations take their time."""
    if isinstance(address, str):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(address)
        return client
    assert isinstance(address, tuple)
    client = socket.create_connection(address[:2], PATIENCE)
    # Else a part may wait until the one before is acknowledged, which takes 40 ms.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def accept(server: socket.socket) -> socket.socket:
    """The next client of a server."""
    sock, _ = server.accept()
    sock.settimeout(PATIENCE)
    return sock


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection: ours, which does not block, and the peer's."""
    with listening() as server:
        peer = connect(server.getsockname())
        ours = accept(server)
    ours.setblocking(False)
    return ours, peer


def reset(sock: socket.socket) -> None:
    """Close it so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def was_reset(sock: socket.socket) -> bool:
    """Whether the peer's next word is a reset; false if it is anything else."""
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    return False


def is_refused(connect: Callable[[], socket.socket]) -> bool:
    """Whether a client is reset as soon as it is accepted, which it may see at once."""
    try:
        with connect() as sock:
            return was_reset(sock)
    except ConnectionResetError:
        return True


def receive(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the peer says no more."""
    chunks = bytearray()
    while len(chunks) < size and (chunk := sock.recv(size - len(chunks))):
        chunks += chunk
    return bytes(chunks)


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the peer has said all."""
    chunks = bytearray()
    while chunk := sock.recv(1 << 20):
        chunks += chunk
    return bytes(chunks)


def stuff(sock: socket.socket, limit: int = 1 << 30) -> int:
    """Send zeros until the kernel takes no more; how many it took."""
    sock.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sent < limit:
            sent += sock.send(bytes(min(65536, limit - sent)))
    sock.settimeout(PATIENCE)
    return sent


@contextmanager
def refusing() -> Iterator[int]:
    """A port that refuses, and stays reserved meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_queue() -> Iterator[socket.socket]:
    """A server that does not accept, and whose queue is full: it does not answer."""
    with ExitStack() as held, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filling = held.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(server.getsockname())
        yield server


@contextmanager
def blackhole() -> Iterator[int]:
    """A port that does not answer."""
    with full_queue() as server:
        yield server.getsockname()[1]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """No file or socket can be opened in this process."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
