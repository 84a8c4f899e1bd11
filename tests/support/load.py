"""Load on a gateway, of which every single request is accounted for.

usage: python -m tests.support.load ADDRESS[,ADDRESS...] CLIENTS PAUSE new|keep-alive
       TIMEOUT BODY

With a BODY of so many bytes the requests are PUT, else GET.

Each request is sent once, never again, and is one of these in the end:

* whole: a 200 came, all of it, and it answers this very request, whose body, if there
  was one, the server has got as it was sent;
* wrong: a 200 came, all of it, and it is not that;
* failed: no 200 came: connecting failed, the connection ended or was reset, the
  timeout passed, or the status is another.

A client that keeps its connection looks, before it sends a request, whether
the other side has closed the connection since the last answer (a server may,
between requests, and a killed one does).  If so the request goes out on a new
connection and nothing has failed.  If the connection ends after the first byte
of the request was sent, the request failed; `fresh` tells whether it was the
first one on its connection.

The clients are threads of a process of their own, so that what the test does
meanwhile does not slow them down.  Times are those of `time.monotonic`, which
on Linux all processes share.
"""

import json
import select
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.program import OwnProgram
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import ssl

#: How long one answer may take, in seconds.
TIMEOUT = PATIENCE

#: A port of 127.0.0.1, or host:port, or [host]:port, or the path of a UNIX socket;
#: after `TLS` what is to be spoken to with TLS, there as ``name@port`` with a server
#: name.
Address = int | str

#: Before an address: TLS, whose certificate is not verified.
TLS = "tls:"


class Broken(OSError):
    """The connection ended before the answer did, or it is no HTTP."""


class Visitor:
    """A client that keeps its one connection and sends every request once."""

    def __init__(self, address: Address, timeout: float = TIMEOUT) -> None:
        self._address = address
        self._timeout = timeout
        self._sock: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def join(self) -> socket.socket:
        """Connect, unless there is a connection."""
        if self._sock is None:
            self._sock = connect(self._address, self._timeout)
        return self._sock

    def ask(self, path: str = "/") -> str:
        """The body of the answer; a status other than 200 comes before it."""
        status, body = self.request(path)
        return body if status == 200 else f"{status} {body}"

    def request(self, path: str, body: bytes = b"") -> tuple[int, str]:
        """The status and the body of the answer to a GET, or with a body to a PUT."""
        method = "PUT" if body else "GET"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}\r\n"
        sock = self.join()
        try:
            sock.sendall(head.encode() + body)
            status, closing, answer = _read_answer(sock)
        except OSError:
            self.leave()
            raise
        if closing:
            self.leave()
        return status, answer

    def has_connection(self) -> bool:
        """Whether there is a connection, and the other side has not closed it."""
        if self._sock is not None and select.select([self._sock], [], [], 0)[0]:
            self.leave()
        return self._sock is not None

    def leave(self) -> None:
        """Close the connection, if there is one."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def connect(address: Address, timeout: float = TIMEOUT) -> socket.socket:
    """A connected socket."""
    if isinstance(address, str) and address.startswith(TLS):
        name, _, plain = address.removeprefix(TLS).rpartition("@")
        sock = connect(plain, timeout)
        return unverified().wrap_socket(sock, server_hostname=name or None)
    if isinstance(address, str) and address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    host, _, port = str(address).rpartition(":")
    place = (host.strip("[]") or "127.0.0.1", int(port))
    sock = socket.create_connection(place, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@cache
def unverified() -> "ssl.SSLContext":
    """A client's context that trusts every server."""
    # Imported here: most loads do without.
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _read_answer(sock: socket.socket) -> tuple[int, bool, str]:
    """Status, whether the server closes behind it, and the body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(sock)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += _more(sock)
    return int(first.split()[1]), headers.get("connection") == "close", body.decode()


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise Broken("the connection ended before the answer did")
    return data


class Request(NamedTuple):
    """What became of one request."""

    #: When the client set out to send it, and when it was over.
    begun: float
    over: float
    #: Who answered; of a failed one, who had answered on this connection before.
    server: str
    #: What went wrong, if something did: failed or wrong, and how.
    trouble: str
    #: Whether its connection was made for it.
    fresh: bool

    @property
    def failed(self) -> bool:
        """Whether no 200 came, or not all of it."""
        return self.trouble.startswith("failed")

    @property
    def wrong(self) -> bool:
        """Whether something else than its answer came."""
        return self.trouble.startswith("wrong")


class Outcome(list[Request]):
    """All requests of a load, in the order in which they were over."""

    def failed(self) -> list[Request]:
        """Those without an answer, or with another status than 200."""
        return [each for each in self if each.failed]

    def wrong(self) -> list[Request]:
        """Those with an answer that is not theirs."""
        return [each for each in self if each.wrong]

    def begun_after(self, when: float) -> "Outcome":
        """Those that clients set out to send after `when`."""
        return Outcome(each for each in self if each.begun > when)

    def servers(self) -> Counter[str]:
        """How many each server answered."""
        return Counter(each.server for each in self if not each.trouble)


class Load(OwnProgram):
    """Clients that ask without end until `stop`, or until the `with` ends.

    They share themselves out among several addresses with commas between.
    """

    def __init__(
        self,
        address: Address,
        clients: int = 6,
        pause: float = 0.005,
        *,
        keep_alive: bool = False,
        timeout: float = TIMEOUT,
        body: int = 0,
    ) -> None:
        """With a `body` of so many bytes the clients send PUT."""
        mode = "keep-alive" if keep_alive else "new"
        command = [sys.executable, "-S", "-E", "-m", "tests.support.load"]
        told = [address, clients, pause, mode, timeout, body]
        super().__init__([*command, *map(str, told)])

    def more(self, requests: int) -> int:
        """Wait until so many requests more are over; how many are over then."""
        self.tell(str(requests))
        return int(self.hear())

    def stop(self) -> Outcome:
        """Let the clients finish what they are at, and hear what became of it all."""
        said = self.end(timeout=TIMEOUT + 10)
        return Outcome(Request(*each) for each in json.loads(said))


class _Clients:
    """The threads of the load's own process."""

    def __init__(
        self, address: str, pause: float, keep_alive: bool, timeout: float, body: int
    ) -> None:
        self._addresses = address.split(",")
        self._pause = pause
        self._timeout = timeout
        self._keep_alive = keep_alive
        self._body = body
        self._over = threading.Event()
        self.requests: list[Request] = []
        self.first = threading.Event()

    def run(self, clients: int) -> None:
        """Until the standard input ends."""
        threads = [
            threading.Thread(target=self._ask_on, args=(number,), daemon=True)
            for number in range(clients)
        ]
        for each in threads:
            each.start()
        self.first.wait()
        print("going", flush=True)
        for more in sys.stdin:
            enough = len(self.requests) + int(more)
            while len(self.requests) < enough:
                time.sleep(0.01)
            print(len(self.requests), flush=True)
        self._over.set()
        for each in threads:
            each.join()

    def _ask_on(self, number: int) -> None:
        address = self._addresses[number % len(self._addresses)]
        visitor = Visitor(address, self._timeout)
        count, before = 0, ""
        while not self._over.is_set():
            count += 1
            request = _one_request(visitor, f"{number}-{count}", before, self._body)
            self.requests.append(request)
            before = request.server
            self.first.set()
            if not self._keep_alive:
                visitor.leave()
            time.sleep(self._pause)
        visitor.leave()


def _one_request(visitor: Visitor, token: str, before: str, size: int) -> Request:
    begun = time.monotonic()
    fresh = not visitor.has_connection()
    server, trouble = "" if fresh else before, ""
    body = (token.encode() * (size // len(token) + 1))[:size]
    due = f"{token} {zlib.crc32(body):x}" if body else token
    try:
        status, answer = visitor.request(f"/?{token}", body)
    except (OSError, ValueError, KeyError, IndexError) as error:
        trouble = f"failed: {type(error).__name__} {error}"
    else:
        if status == 200:
            server, _, echoed = answer.rstrip("\n").partition(" ")
            trouble = "" if echoed == due else f"wrong: {answer!r} for {due}"
        else:
            trouble = f"failed: status {status}"
    return Request(begun, time.monotonic(), server, trouble, fresh)


def main(
    address: str, clients: str, pause: str, mode: str, timeout: str, body: str
) -> None:
    """Ask until the standard input ends, then print what became of the requests."""
    keeps = mode == "keep-alive"
    load = _Clients(address, float(pause), keeps, float(timeout), int(body))
    load.run(int(clients))
    json.dump(load.requests, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
