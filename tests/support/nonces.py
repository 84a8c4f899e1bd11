"""Clients whose every request has a nonce that no other request has.

usage: python -m tests.support.nonces PORT CLIENTS REQUESTS SEED

Each keeps its connection, and asks a server that says a request again
(``applications/nonces.js``), so that a response that is another request's is seen.
Some requests are pipelined; some clients leave in the middle of a request or of its
response, and come back.  Printed is what became of all requests, as JSON.
"""

import json
import random
import socket
import sys
import threading
from collections import Counter
from contextlib import suppress

from tests.support.load import TIMEOUT, connect
from tests.support.program import OwnProgram

#: How many at most are sent before the first response is read.
_PIPELINED = 8

#: The longest body, in nonces: some take several reads, most do not.
_LONGEST = (1, 1, 1, 10, 10, 5000)


class Nonces(OwnProgram):
    """So many clients with so many requests each, in a process of their own."""

    def __init__(self, port: int, clients: int, requests: int, seed: int = 1) -> None:
        self.seed = seed
        told = [str(each) for each in (port, clients, requests, seed)]
        super().__init__([sys.executable, "-m", "tests.support.nonces", *told])

    def outcome(self, timeout: float) -> Counter[str]:
        """How many responses were their own, and how many were not, or what failed."""
        return Counter(json.loads(self.end(timeout)))


class _Broken(Exception):
    """The connection ended where it should not have."""


class _Client:
    """One client."""

    def __init__(self, port: int, number: int, seed: int) -> None:
        self._port, self._number = port, number
        self._random = random.Random(f"{seed} {number}")
        self._sock: socket.socket | None = None
        self._buffer = b""
        self._count = 0
        self.outcomes = Counter[str]()

    def run(self, requests: int) -> None:
        """Until so many were answered, or one was not."""
        while self.outcomes["own"] < requests and not self._has_failed():
            try:
                if self._random.random() < 0.1:
                    self._leave_halfway()
                else:
                    most = requests - self.outcomes["own"]
                    count = self._random.choice((1, 1, 1, 2, _PIPELINED))
                    self._ask(min(count, most))
            except (OSError, _Broken) as error:
                self.outcomes[f"failed: {error!r}"] += 1
        self._leave()

    def _has_failed(self) -> bool:
        return bool(self.outcomes.keys() - {"own", "left"})

    def _join(self) -> socket.socket:
        if self._sock is None:
            self._sock, self._buffer = connect(self._port, TIMEOUT), b""
        return self._sock

    def _leave(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _request(self) -> tuple[bytes, bytes, bytes]:
        """A request, its nonce, and its body."""
        draw, self._count = self._random, self._count + 1
        nonce = b"%d-%d-%016x" % (self._number, self._count, draw.getrandbits(64))
        body = nonce * draw.randint(0, draw.choice(_LONGEST))
        # Clients repeat their fields in part, as caches of heads expect.
        head = b"%b /%b HTTP/1.1\r\nHost: test\r\nUser-Agent: nonces\r\nX-Nonce: %b\r\n"
        if not body:
            return head % (b"GET", nonce, nonce) + b"\r\n", nonce, body
        method = draw.choice((b"POST", b"PUT"))
        head %= (method, nonce, nonce)
        if draw.randrange(2):
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, nonce, body
        half = draw.randint(1, len(body))
        chunks = [each for each in (body[:half], body[half:]) if each]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
        coding = b"Transfer-Encoding: chunked\r\n\r\n"
        return head + coding + coded + b"0\r\n\r\n", nonce, body

    def _ask(self, count: int) -> None:
        """Send so many, then read their responses."""
        sock = self._join()
        asked = [self._request() for _ in range(count)]
        said = b"".join(each for each, _, _ in asked)
        # What is sent must not wait for what is not read.
        saying = threading.Thread(target=_say, args=[sock, said])
        if len(said) > 1 << 16:
            saying.start()
        else:
            sock.sendall(said)
        for _, nonce, body in asked:
            self._hear(sock, nonce, body)
        if len(said) > 1 << 16:
            saying.join()

    def _hear(self, sock: socket.socket, nonce: bytes, body: bytes) -> None:
        while b"\r\n\r\n" not in self._buffer:
            self._more(sock)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        fields = dict(each.lower().split(b": ", 1) for each in lines)
        length = int(fields.get(b"content-length", b"0"))
        while len(self._buffer) < length:
            self._more(sock)
        heard, self._buffer = self._buffer[:length], self._buffer[length:]
        told = (status, fields.get(b"x-nonce"), fields.get(b"x-target"), heard)
        if told == (b"HTTP/1.1 200 OK", nonce, b"/" + nonce, body):
            self.outcomes["own"] += 1
        else:
            what = (*told[:3], heard[:100])
            self.outcomes[f"not its own: {what!r} for {nonce!r}"] += 1

    def _more(self, sock: socket.socket) -> None:
        data = sock.recv(1 << 16)
        if not data:
            raise _Broken("the connection ended")
        self._buffer += data

    def _leave_halfway(self) -> None:
        """Leave in the middle of a request, before its response, or in that."""
        sock = self._join()
        count = self._random.randint(1, 3)
        said = b"".join(self._request()[0] for _ in range(count))
        with suppress(OSError):  # it may be closed for what came before
            sock.sendall(said[: self._random.randint(1, len(said))])
            if self._random.randrange(2):
                sock.settimeout(0.002)
                sock.recv(self._random.choice((1, 100, 1 << 16)))
        self.outcomes["left"] += 1
        self._leave()


def _say(sock: socket.socket, said: bytes) -> None:
    with suppress(OSError):  # it is seen where the response is read
        sock.sendall(said)


def main(port: str, clients: str, requests: str, seed: str) -> None:
    """Run the clients, and print what became of their requests."""
    made = [_Client(int(port), each, int(seed)) for each in range(int(clients))]
    print("going", flush=True)
    threads = [threading.Thread(target=each.run, args=[int(requests)]) for each in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(sum((each.outcomes for each in made), Counter[str]())))


if __name__ == "__main__":
    main(*sys.argv[1:])
