"""Connections through a proxy that runs, on a real reactor with real sockets."""

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbconsul.balance.instance import Instance
from tests.support.loopback import (
    accept,
    blackhole,
    connect,
    listening,
    receive,
    receive_all,
    refusing,
    reset,
    was_reset,
)
from tests.support.proxy_process import ProxyProcess
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import WEB, instance
from tests.support.waiting import PATIENCE, eventually


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """The socket of the one upstream."""
    with listening() as sock:
        yield sock


@pytest.fixture
def proxy(server: socket.socket) -> Iterator[RunningProxy]:
    """A proxy over `server`."""
    with RunningProxy(of(server)) as running:
        yield running


def of(server: socket.socket, name: str = "a", weight: int = 1) -> Instance:
    """The instance that listens on a socket."""
    return instance(name, server.getsockname()[1], weight=weight)


def joined(
    proxy: RunningProxy, server: socket.socket, held: ExitStack
) -> tuple[socket.socket, socket.socket]:
    """A client and the upstream that it got, after the latter's first word.

    Before that it may have accepted what the gateway is still dialling, and its
    reset would count as a refusal.
    """
    client = proxy.connect()
    upstream = held.enter_context(accept(server))
    upstream.sendall(b"x")
    assert receive(client, 1) == b"x"
    return client, upstream


class TestBytes:
    """What goes in on one side comes out on the other."""

    PIECES = st.lists(
        st.tuples(
            st.one_of(st.integers(1, 300_000), st.integers(1_000_000, 4_000_000)),
            st.sampled_from([0.0, 0.0, 0.002]),
        ),
        max_size=12,
    )

    @settings(
        max_examples=12,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(there=PIECES, back=PIECES)
    def test_whole_and_in_order(
        self,
        proxy: RunningProxy,
        server: socket.socket,
        there: Sequence[tuple[int, float]],
        back: Sequence[tuple[int, float]],
    ) -> None:
        """
        Whatever both sides say, in pieces of any size, with pauses or without,
        at the same time, reaches the other side whole and in order.
        """
        with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
            client, upstream = joined(proxy, server, stack)
            said = [
                threads.submit(say, client, there),
                threads.submit(say, upstream, back),
            ]
            heard = [
                threads.submit(receive_all, upstream),
                threads.submit(receive_all, client),
            ]
            assert [each.result() for each in heard] == [e.result() for e in said]

    def test_bulk(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """A hundred MiB arrive as they were sent, either way."""
        block = os.urandom(1 << 20)
        whole = hashlib.sha256()
        for _ in range(100):
            whole.update(block)
        for number in range(2):
            sender, receiver = joined(proxy, server, held)[:: 1 - 2 * number]
            sending = threading.Thread(target=send_blocks, args=(sender, block, 100))
            sending.start()
            digest = hashlib.sha256()
            while chunk := receiver.recv(1 << 20):
                digest.update(chunk)
            sending.join()
            assert digest.digest() == whole.digest()

    def test_gibibyte_both_ways_at_once(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """A GiB each way at the same time arrives whole and in order."""
        block = os.urandom(1 << 20)
        pair = joined(proxy, server, held)
        with ThreadPoolExecutor(4) as threads:
            for sock in pair:
                threads.submit(send_blocks, sock, block, 1024)
            heard = list(threads.map(blocks, pair, [block] * 2))
        assert heard == [1024, 1024]

    def test_server_speaks_first(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """A greeting reaches a client that has said nothing yet, as in SMTP."""
        client, upstream = joined(proxy, server, held)
        upstream.sendall(b"220 ready\r\n")
        assert receive(client, 11) == b"220 ready\r\n"
        client.sendall(b"HELO\r\n")
        assert receive(upstream, 6) == b"HELO\r\n"

    def test_client_speaks_before_it_has_an_upstream(
        self, server: socket.socket
    ) -> None:
        """Bytes that a client sends while it has no upstream yet are not lost."""
        with (
            blackhole() as silent,
            RunningProxy(instance("a", silent), connect_timeout=0.3) as proxy,
        ):
            client = proxy.connect()
            client.sendall(b"early")
            proxy.wait_until_open(1)
            both = [instance("a", silent), of(server, "b")]
            proxy.call(proxy.registry.replace, WEB.query, both)
            with accept(server) as upstream:
                assert receive(upstream, 5) == b"early"


def say(sock: socket.socket, pieces: Sequence[tuple[int, float]]) -> bytes:
    """Say random bytes in pieces of these sizes, each with a pause; all of them."""
    chance = random.Random(len(pieces))
    said = bytearray()
    for size, pause in pieces:
        piece = chance.randbytes(size)
        sock.sendall(piece)
        said += piece
        time.sleep(pause)
    sock.shutdown(socket.SHUT_WR)
    return bytes(said)


def send_blocks(sock: socket.socket, block: bytes, count: int) -> None:
    """Send a block so many times, and that was all."""
    for _ in range(count):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)


def blocks(sock: socket.socket, block: bytes) -> int:
    """How often a block is heard, and nothing else."""
    count = 0
    while heard := receive(sock, len(block)):
        assert heard == block
        count += 1
    return count


class TestEnds:
    """How the end of one side reaches the other."""

    def test_long_answer_to_a_half_closed_client(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """
        A client that has said all gets its answer, even if that takes two
        seconds longer.
        """
        client, upstream = joined(proxy, server, held)
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(upstream) == b"question"
        time.sleep(2)
        upstream.sendall(b"answer" * 200_000)
        upstream.close()
        assert receive_all(client) == b"answer" * 200_000
        proxy.wait_until_open(0)

    def test_upload_to_a_half_closed_upstream(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """An upstream that has said all still gets a MiB from its client."""
        client, upstream = joined(proxy, server, held)
        upstream.sendall(b"banner")
        upstream.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"banner"
        sending = threading.Thread(target=send_blocks, args=(client, bytes(1 << 20), 1))
        sending.start()
        assert receive_all(upstream) == bytes(1 << 20)
        sending.join()
        proxy.wait_until_open(0)

    def test_client_resets(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """A client's reset is the upstream's reset."""
        client, upstream = joined(proxy, server, held)
        reset(client)
        assert was_reset(upstream)
        proxy.wait_until_open(0)
        assert proxy.mapped.stats.unhappy.total == 0

    def test_upstream_resets(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """An upstream's reset is the client's reset."""
        client, upstream = joined(proxy, server, held)
        name = "{}:{}".format(*client.getsockname())
        reset(upstream)
        assert was_reset(client)
        proxy.wait_until_open(0)
        (bad,) = proxy.mapped.stats.unhappy.last
        assert (bad.client, bad.termination, bad.retries) == (name, "SD", 0)
        (account,) = proxy.mapped.stats.accounts.values()
        assert bad.upstream in proxy.mapped.stats.accounts
        assert (sum(account.first_bytes), sum(account.connects)) == (1, 1)
        assert account.failing is not None
        assert account.failing.error == "the upstream reset the connection"

    def test_reset_does_not_hurt_the_next_client(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """
        A client that comes in the very moment in which another one resets, and its
        upstream sends, is served: no event of the old connection reaches the new one
        that got its descriptors.
        """
        for _ in range(20):
            client, upstream = joined(proxy, server, held)
            proxy.wait_until_open(1)

            def all_at_once(
                client: socket.socket = client, upstream: socket.socket = upstream
            ) -> socket.socket:
                # The reactor waits for us: it finds these three in this order.
                reset(client)
                time.sleep(0.002)
                new = proxy.connect()
                time.sleep(0.002)
                upstream.sendall(b"too late")
                time.sleep(0.002)
                return new

            new = proxy.call(all_at_once)
            with accept(server) as its_upstream:
                its_upstream.sendall(b"hello")
                assert receive(new, 5) == b"hello"
                new.close()
            proxy.wait_until_open(0)

    def test_closing_all_connections(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """To close all connections ends both sides of each."""
        pairs = [joined(proxy, server, held) for _ in range(20)]
        proxy.call(proxy.mapped.close_connections)
        for client, upstream in pairs:
            assert client.recv(1) == upstream.recv(1) == b""
        assert proxy.open() == 0


class TestBalance:
    """Which upstream a client gets."""

    def test_held_connections(self, held: ExitStack) -> None:
        """Three hundred connections that last are a hundred for each of three."""
        servers = [held.enter_context(listening()) for _ in range(3)]
        named = [of(server, name) for server, name in zip(servers, "abc", strict=True)]
        with RunningProxy(*named) as proxy:
            for _ in range(300):
                proxy.connect()
            proxy.wait_until_open(300)
            assert proxy.opens() == {"a": 100, "b": 100, "c": 100}
            assert [drain(server, held) for server in servers] == [100] * 3

    def test_weights(self, held: ExitStack) -> None:
        """Weights of 1, 2 and 7 are shares of a tenth, a fifth and the rest."""
        servers = [held.enter_context(listening()) for _ in range(3)]
        weighed = [
            of(server, name, weight)
            for server, name, weight in zip(servers, "abc", (1, 2, 7), strict=True)
        ]
        with RunningProxy(*weighed) as proxy:
            for _ in range(200):
                proxy.connect()
            proxy.wait_until_open(200)
            assert [drain(server, held) for server in servers] == [20, 40, 140]

    def test_one_refuses(self, held: ExitStack) -> None:
        """Of three upstreams one refuses, and no client notices."""
        servers = [held.enter_context(listening()) for _ in range(2)]
        port = held.enter_context(refusing())
        named = [of(server, name) for server, name in zip(servers, "ab", strict=True)]
        with RunningProxy(*named, instance("c", port)) as proxy:
            for _ in range(60):
                proxy.connect()
            proxy.wait_until_open(60)
            assert proxy.opens() == {"a": 30, "b": 30, "c": 0}

    def test_one_is_silent(self, server: socket.socket, held: ExitStack) -> None:
        """
        One upstream of two does not even refuse: its clients get the other
        one, after the time that it had to answer.
        """
        port = held.enter_context(blackhole())
        with RunningProxy(
            instance("a", port, weight=1000), of(server, "b"), connect_timeout=0.4
        ) as proxy:
            begin = time.monotonic()
            for _ in range(5):
                proxy.connect()
            upstreams = [held.enter_context(accept(server)) for _ in range(5)]
            assert time.monotonic() - begin > 0.3
            assert len(upstreams) == 5
            assert proxy.opens() == {"a": 0, "b": 5}

    def test_client_leaves_a_silent_one(self, held: ExitStack) -> None:
        """A client that leaves meanwhile does not count for the whole of that time."""
        port = held.enter_context(blackhole())
        with RunningProxy(instance("a", port), connect_timeout=600.0) as proxy:
            polite, rude = proxy.connect(), proxy.connect()
            eventually(lambda: proxy.opens() == {"a": 2}, "both are dialling")
            polite.close()
            reset(rude)
            eventually(lambda: proxy.opens() == {"a": 0}, "no lease is left")
            assert proxy.open() == 0

    def test_no_upstream(self) -> None:
        """A client of a service without upstreams is let go."""
        with RunningProxy() as proxy:
            assert proxy.connect().recv(1) == b""
            unhappy = proxy.mapped.stats.unhappy
            eventually(lambda: unhappy.last, "it is counted")
            (bad,) = unhappy.last
        assert (bad.termination, bad.upstream, bad.error) == ("SC", None, "")

    def test_all_refuse(self, held: ExitStack) -> None:
        """
        A client for which no upstream accepted is kept with what was tried and why that
        failed.
        """
        ports = [held.enter_context(refusing()) for _ in "ab"]
        named = [instance(name, port) for name, port in zip("ab", ports, strict=True)]
        with RunningProxy(*named) as proxy:
            assert proxy.connect().recv(1) == b""
            unhappy = proxy.mapped.stats.unhappy
            eventually(lambda: unhappy.last, "it is counted")
            (bad,) = unhappy.last
            accounts = proxy.mapped.stats.accounts
        assert (bad.termination, bad.error, bad.retries) == (
            "SC", "Connection refused", 2,
        )  # fmt: skip
        assert bad.upstream in {each.identity for each in named}
        assert bad.client.startswith("127.0.0.1:")
        for account in accounts.values():
            assert account.failing is not None
            assert (account.failing.count, account.failing.error) == (
                1, "Connection refused",
            )  # fmt: skip


def drain(server: socket.socket, held: ExitStack) -> int:
    """Accept everything in a server's queue; how much that is."""
    server.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            held.enter_context(server.accept()[0])
            count += 1
    return count


@pytest.mark.process
class TestLimits:
    """When there is not enough of something."""

    def test_max_connections(self, server: socket.socket, held: ExitStack) -> None:
        """
        One client more than the mapping allows is connected, by the kernel,
        and served as soon as another one leaves.
        """
        with RunningProxy(of(server), max_connections=3) as proxy:
            first = [joined(proxy, server, held) for _ in range(3)]
            waiting = proxy.connect()
            waiting.sendall(b"anybody?")
            server.settimeout(0.3)
            with pytest.raises(TimeoutError):
                server.accept()
            assert proxy.open() == 3
            client, upstream = first[1]
            client.close()
            upstream.close()
            server.settimeout(PATIENCE)
            with accept(server) as served:
                assert receive(served, 8) == b"anybody?"
                served.sendall(b"yes")
                assert receive(waiting, 3) == b"yes"

    def test_churn(
        self, proxy: RunningProxy, server: socket.socket, held: ExitStack
    ) -> None:
        """
        Ten thousand connections, ended in every way, with a lot to say or
        little, leave nothing behind.
        """
        proxy.connect().close()
        accept(server).close()
        proxy.wait_until_open(0)
        before = len(os.listdir("/proc/self/fd"))
        for number in range(10_000):
            with connect(proxy.address) as client, accept(server) as upstream:
                one, other = (client, upstream)[:: 1 - 2 * (number % 2)]
                size = 150_000 if number % 10 < 2 else 1
                one.sendall(bytes(size))
                assert len(receive(other, size)) == size
                if number % 3 == 0:
                    reset(one)
                elif number % 3 == 1:
                    one.shutdown(socket.SHUT_WR)
                    assert other.recv(1) == b""
        proxy.wait_until_open(0)
        proxy.call(proxy.mapped.relaying.pipes.close)
        eventually(lambda: len(os.listdir("/proc/self/fd")) <= before, "all are closed")
        assert proxy.call(proxy.registry.open_connections) == 0
        assert proxy.mapped.accepted == 10_001

    def test_no_descriptors(self, server: socket.socket, held: ExitStack) -> None:
        """
        With 100 descriptors and 200 clients the gateway stays alive and idle, logs one
        line, and serves every client as others leave.
        """
        port = server.getsockname()[1]
        with Echo(server), ProxyProcess(port, descriptors=100) as process:
            at_rest = process.descriptors()
            clients = [held.enter_context(connect(process.address)) for _ in range(200)]
            eventually(lambda: process.descriptors() >= 99, "it has none left")
            time.sleep(0.5)
            before = process.cpu()
            time.sleep(2)
            used = (process.cpu() - before) / 2
            print(f"CPU while starved: {100 * used:.1f} %")
            assert used < 0.1
            served = sum(ask_and_leave(client) for client in clients)
            print(f"served after release: {served} of 200")
            assert served >= 180
            with connect(process.address) as late:
                assert ask_and_leave(late)
            # The poller has one, since the first connection.
            eventually(lambda: process.descriptors() == at_rest + 1, "all are closed")
            summary = process.stop()
        assert summary.accepted == 201
        assert (summary.open, summary.leases) == (0, 0)
        assert summary.log.count("out of descriptors") == 1


def ask_and_leave(client: socket.socket) -> bool:
    """Whether it was served; if not, it must have been let go, not forgotten."""
    try:
        client.sendall(b"x")
        answer = client.recv(1)
    except ConnectionError:
        answer = b""
    client.close()
    return answer == b"x"


class Echo:
    """Accepts on a socket, and says again what its clients say, until it is left."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def __enter__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        self._server.settimeout(None)
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while said := client.recv(65536):
                client.sendall(said)
