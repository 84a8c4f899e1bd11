"""What connections that are held up cost, in a process of its own."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.loopback import PATIENCE, accept, connect, listening, reset, stuff
from tests.support.proxy_process import ProxyProcess

pytestmark = pytest.mark.process

KIB = 1024
MIB = 1024 * KIB


def settled(measure: Callable[[], int]) -> int:
    """What is measured once it has not changed for half a second."""
    end = time.monotonic() + PATIENCE
    last, since = measure(), time.monotonic()
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < end, "it does not come to rest"
        time.sleep(0.05)
        if (now := measure()) != last:
            last, since = now, time.monotonic()
    return last


def warm_up(process: ProxyProcess, server: socket.socket) -> None:
    """Let one connection go through all there is, so that no first time is left."""
    with connect(process.address) as client, accept(server) as upstream:
        stuff(client, 4 * MIB)
        stuff(upstream, 4 * MIB)
        reset(upstream)


def push(sock: socket.socket, size: int, sent: list[int]) -> None:
    """Send so many zeros, for as long as the other side lets us."""
    chunk = bytes(MIB)
    try:
        while sum(sent) < size:
            sock.sendall(chunk)
            sent.append(len(chunk))
    except OSError:
        pass


def test_client_that_does_not_read() -> None:
    """
    An answer of a GiB to a client that does not read it costs us less than a
    MiB: the upstream is slowed down instead.
    """
    with listening() as server, ProxyProcess(server.getsockname()[1]) as process:
        warm_up(process, server)
        before = settled(process.memory)
        with connect(process.address) as client, accept(server) as upstream:
            sent: list[int] = []
            pushing = threading.Thread(target=push, args=(upstream, 1024 * MIB, sent))
            pushing.start()
            after = settled(process.memory)
            assert pushing.is_alive()
            print(f"a slow reader: {(after - before) / KIB:.0f} KiB of ours")
            assert after - before < MIB
            reset(client)
            pushing.join(PATIENCE)
        assert 0 < sum(sent) < 1024 * MIB
        process.stop()


def test_deaf_upstream() -> None:
    """A hundred clients that push to an upstream which does not read cost little."""
    with (
        listening() as server,
        ProxyProcess(server.getsockname()[1]) as process,
        ExitStack() as held,
    ):
        warm_up(process, server)
        before = settled(process.memory)
        clients = [held.enter_context(connect(process.address)) for _ in range(100)]
        for _ in clients:
            held.enter_context(accept(server))
        stuffed = 0
        for _ in range(6):
            stuffed += sum(stuff(client) for client in clients)
            time.sleep(0.05)
        after = settled(process.memory)
        each = (after - before) / len(clients)
        print(f"a client of a deaf upstream: {each / KIB:.0f} KiB of ours")
        assert each <= 64 * KIB
        assert stuffed > 100 * 64 * KIB


def test_idle_connections() -> None:
    """Connections that say nothing cost a few KiB each."""
    with (
        listening() as server,
        ProxyProcess(server.getsockname()[1]) as process,
        ExitStack() as held,
    ):
        warm_up(process, server)
        before = settled(process.memory)
        for _ in range(300):
            held.enter_context(connect(process.address))
            held.enter_context(accept(server))
        each = (settled(process.memory) - before) / 300
        print(f"an idle connection: {each / KIB:.1f} KiB of ours")
        assert each < 8 * KIB


def test_tls_upstreams(tmp_path: Path) -> None:
    """TLS to an upstream costs some 30 KiB, and one read more if that is deaf."""
    issued = Authority(tmp_path).issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    options = {"upstream_tls": True, "upstream_verify": False}
    with (
        listening() as server,
        ProxyProcess(server.getsockname()[1], **options) as process,
        ExitStack() as held,
    ):

        def join() -> socket.socket:
            client = held.enter_context(connect(process.address))
            held.enter_context(context.wrap_socket(accept(server), server_side=True))
            return client

        for _ in range(20):
            join()
        before = settled(process.memory)
        clients = [join() for _ in range(100)]
        idle = settled(process.memory)
        for _ in range(6):
            for each in clients:
                stuff(each)
            time.sleep(0.05)
        deaf = settled(process.memory)
        costs = [(each - before) / len(clients) / KIB for each in (idle, deaf)]
        print(
            "a connection with TLS to the upstream: {:.1f} KiB idle,"
            " {:.0f} KiB if that does not read".format(*costs)
        )
        assert costs[0] < 40
        assert costs[1] < 120
