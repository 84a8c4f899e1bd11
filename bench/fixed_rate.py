"""Requests at a fixed rate, each timed from the moment at which it was due.

usage: python -m bench.fixed_rate PORT RATE SECONDS CONNECTIONS

A generator that waits for an answer before it sends the next request sends
fewer while the other side is slow, and so leaves out the very requests that
would have been slow ("coordinated omission"); so do wrk, and h2load's --rps,
which times a request from when it went out.  Here a request is due by the
clock alone, evenly spaced.  If it goes out late, because every connection waits
for an answer or because this program was late itself, that counts.

It prints the latencies' p50 and p99, in microseconds, and how many were asked.
"""

import gc
import json
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"

#: What the file ends with, and more than a whole answer is long.
_END = b"x" * 100
_ANSWER = 4096

#: How long everything may stand still, in seconds.
_PATIENCE = 10.0


class Generator:
    """Keep-alive connections, and the requests that wait for one."""

    def __init__(self, port: int, connections: int) -> None:
        self._idle: deque[socket.socket] = deque()
        #: When the request on each connection was due, and what is yet to come.
        self._due: dict[socket.socket, float] = {}
        self._missing: dict[socket.socket, int] = {}
        self.latencies: list[float] = []
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port), _PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._length = _first_answer(sock)
            self._idle.append(sock)

    def run(self, rate: float, seconds: float) -> None:
        """Ask evenly for some seconds, then wait for what is on its way."""
        begun = time.perf_counter() + 0.01
        count, sent = int(rate * seconds), 0
        while sent < count or self._due:
            due = begun + sent / rate
            now = time.perf_counter()
            if sent < count and due <= now and self._idle:
                self._send(due)
                sent += 1
                continue
            is_next = sent < count and bool(self._idle)
            self._receive(max(0.0, due - now) if is_next else _PATIENCE, is_next)

    def close(self) -> None:
        """Close every connection."""
        for each in (*self._idle, *self._due):
            each.close()

    def _send(self, due: float) -> None:
        sock = self._idle.popleft()
        sock.send(_REQUEST)
        self._due[sock] = due
        self._missing[sock] = self._length

    def _receive(self, wait: float, may_be_none: bool) -> None:
        # select, because epoll knows no time shorter than a millisecond.
        ready = select.select(list(self._due), (), (), wait)[0]
        if not ready and not may_be_none:
            raise TimeoutError("no answer came")
        for sock in ready:
            received = len(sock.recv(_ANSWER))
            if not received:
                raise RuntimeError("the connection was closed")
            self._missing[sock] -= received
            if not self._missing[sock]:
                self.latencies.append(time.perf_counter() - self._due.pop(sock))
                self._idle.append(sock)


def _first_answer(sock: socket.socket) -> int:
    """The length of an answer, which is that of all others."""
    sock.sendall(_REQUEST)
    received = b""
    while not received.endswith(_END):
        data = sock.recv(_ANSWER)
        if not data:
            raise RuntimeError("the connection was closed")
        received += data
    return len(received)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of all are below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main(port: str, rate: str, seconds: str, connections: str) -> None:
    """Ask, and print what it took."""
    # The kernel may wake us up to 50 microseconds late, if we do not ask it not to.
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    generator = Generator(int(port), int(connections))
    generator.run(float(rate), float(seconds))
    p50, p99 = (quantile(generator.latencies, share) * 1e6 for share in (0.5, 0.99))
    print(json.dumps({"p50": p50, "p99": p99, "requests": len(generator.latencies)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
