"""Many clients in one process that all do the same, and are accounted for one by one.

usage: python -m chaos.crowd KIND PORT COUNT AT_ONCE [PATH [FIRST]]

Kinds: ``hold`` asks once and stays; ``slow`` says a byte a second and never ends its
question; ``deaf`` asks for PATH and never reads.  They stay until the input ends, and
AT_ONCE connect at a time.

``fetch`` asks for PATH, compares what comes, and leaves; ``put`` sends, and compares
what came of it.  AT_ONCE do so at a time, until all have.  ``stream`` is ``fetch``, but
clients that have not begun when the input ends never do.

They come from as many addresses as ports demand; FIRST clients are in other crowds.
It tells when all that stay have connected, and in the end what became of each.
"""

import asyncio
import json
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from chaos.stream_server import content, digest
from tests.support.program import OwnProgram

#: Clients with the same address: of some 28,000 ports the kernel first gives one half,
#: and finds the others ever more slowly.
_PER_ADDRESS = 10_000

#: The kinds that never leave by themselves.
STAYING = ("hold", "slow", "deaf")

#: How long a client may take to connect, in seconds.
PATIENCE = 60.0


class Client(NamedTuple):
    """What became of one client."""

    begun: float
    over: float
    #: ``whole``, ``open`` (until the row ended it), ``ended``, ``reset``,
    #: ``wrong`` or ``failed: ...``.
    what: str


class Crowd(OwnProgram):
    """As a context manager all are connected, or have failed to."""

    def __init__(
        self,
        kind: str,
        port: int,
        count: int,
        at_once: int = 50,
        path: str = "/",
        first: int = 0,
    ) -> None:
        told = [kind, str(port), str(count), str(at_once), path, str(first)]
        super().__init__([sys.executable, "-S", "-E", "-m", "chaos.crowd", *told])

    def stop(self) -> list[Client]:
        """Have all leave, or finish what they are to do; what became of them."""
        said = self.end(timeout=4 * PATIENCE)
        return [Client(*each) for each in json.loads(said.splitlines()[-1])]


class _Crowd:
    """The clients, in their own process."""

    def __init__(
        self, kind: str, port: int, at_once: int, path: str, first: int
    ) -> None:
        self._kind = kind
        self._first = first
        self._does = getattr(self, f"_{kind}")
        self._port = port
        self._path = path
        self._turn = asyncio.Semaphore(at_once)
        self._clients: list[Client] = []
        self._connected = 0
        self._over = False

    async def run(self, count: int) -> list[Client]:
        """Until the input ends."""
        loop = asyncio.get_running_loop()
        over = loop.run_in_executor(None, sys.stdin.read)
        lives = self._stays if self._kind in STAYING else self._leaves
        tasks = [asyncio.create_task(lives(each)) for each in range(count)]
        while self._kind in STAYING and self._connected < count:
            await asyncio.sleep(0.02)
        print("going", flush=True)
        await over
        self._over = True
        for each in tasks:
            if self._kind in STAYING:
                each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._clients

    async def _stays(self, number: int) -> None:
        with self._noting() as noted, socket.socket() as sock:
            try:
                async with self._turn:
                    await self._connect(sock, number)
            finally:
                self._connected += 1
            noted.append(await self._does(sock))

    async def _leaves(self, number: int) -> None:
        async with self._turn:
            if self._over and self._kind == "stream":
                return
            with self._noting() as noted, socket.socket() as sock:
                await self._connect(sock, number)
                noted.append(await self._does(sock))

    async def _connect(self, sock: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = (self._first + number) // _PER_ADDRESS
        sock.bind((f"127.0.1.{1 + address}", 0))
        async with asyncio.timeout(PATIENCE):
            await loop.sock_connect(sock, ("127.0.0.1", self._port))

    @contextmanager
    def _noting(self) -> Iterator[list[str]]:
        """Note what became of a client: what it says itself, or what it fell over."""
        begun, noted = time.monotonic(), list[str]()
        try:
            yield noted
        except asyncio.CancelledError:
            noted.append("open")
        except ConnectionResetError:
            noted.append("reset")
        except (OSError, ValueError) as error:
            noted.append(f"failed: {type(error).__name__} {error}")
        self._clients.append(Client(begun, time.monotonic(), noted[0]))

    async def _hold(self, sock: socket.socket) -> str:
        await _ask(sock, "/")
        await _answer(sock)
        return await _until_the_end(sock)

    async def _slow(self, sock: socket.socket) -> str:
        loop = asyncio.get_running_loop()
        end = asyncio.create_task(_until_the_end(sock))
        while not end.done():
            await loop.sock_sendall(sock, b"G")
            await asyncio.wait([end], timeout=1.0)
        return end.result()

    async def _deaf(self, sock: socket.socket) -> str:
        await _ask(sock, self._path)
        return str(await asyncio.Future())

    async def _fetch(self, sock: socket.socket) -> str:
        (size,) = parse_qs(urlsplit(self._path).query)["n"]
        await _ask(sock, self._path)
        return "whole" if await _answer(sock) == content(int(size)) else "wrong"

    _stream = _fetch

    async def _put(self, sock: socket.socket) -> str:
        (size,) = parse_qs(urlsplit(self._path).query)["n"]
        data = content(int(size))
        await _ask(sock, "/", data)
        return "whole" if (await _answer(sock)).decode() == digest(data) else "wrong"


async def _ask(sock: socket.socket, path: str, body: bytes = b"") -> None:
    loop = asyncio.get_running_loop()
    first = f"{'PUT' if body else 'GET'} {path} HTTP/1.1\r\n"
    head = f"{first}Host: test\r\nContent-Length: {len(body)}\r\n\r\n"
    await loop.sock_sendall(sock, head.encode() + body)


async def _answer(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += _some(await loop.sock_recv(sock, 65536))
    head, _, body = received.partition(b"\r\n\r\n")
    size = int(head.rpartition(b"Content-Length: ")[2].split()[0])
    while len(body) < size:
        body += _some(await loop.sock_recv(sock, 65536))
    return bytes(body)


def _some(data: bytes) -> bytes:
    if not data:
        raise OSError("the connection ended before the answer did")
    return data


async def _until_the_end(sock: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(sock, 65536):
        pass
    return "ended"


def main(
    kind: str, port: str, count: str, at_once: str, path: str = "/", first: str = "0"
) -> None:
    """Run the clients until the standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = _Crowd(kind, int(port), int(at_once), path, int(first))
    print(json.dumps(asyncio.run(crowd.run(int(count)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
