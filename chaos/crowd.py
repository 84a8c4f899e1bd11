"""Many clients in one process that all do the same, and are accounted for one by one.

usage: python -m chaos.crowd KIND ADDRESS COUNT AT_ONCE [PATH [FIRST]]

ADDRESS is a port, with ``tls:`` before it if it is to be spoken to with TLS.

Kinds: ``hold`` asks once and stays; ``slow`` says a byte a second and never ends its
question; ``deaf`` asks for PATH and never reads.  They stay until the input ends, and
AT_ONCE connect at a time.

``heads`` and ``bodies`` say a byte a second of a head, or of a body, that never ends;
``socket`` switches the protocol, and has a line echoed five times a second.

``mute`` and ``trickle`` never end a handshake of TLS: the one sends its ClientHello and
nothing more, the other a byte of it a second.  They come again whenever they are
closed, and so do ``heads`` and ``bodies``.

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

from chaos.clients import KINDS
from chaos.streams import Stream, TLSStream
from tests.support.load import TLS, Address
from tests.support.program import OwnProgram

#: Clients with the same address: of some 28,000 ports the kernel first gives one half,
#: and finds the others ever more slowly.
_PER_ADDRESS = 10_000

#: The kinds that never leave by themselves.
STAYING = ("hold", "slow", "deaf", "mute", "trickle", "heads", "bodies", "socket")

#: Those whose TLS never gets further than its first message.
STALLING = ("mute", "trickle")

#: Those that come again whenever they are closed.
RETURNING = (*STALLING, "heads", "bodies")

#: How long a client may take to connect, in seconds.
PATIENCE = 60.0

#: After which one that was closed comes again, in seconds.
PAUSE = 0.1


class Client(NamedTuple):
    """What became of one client."""

    begun: float
    over: float
    #: ``whole``, ``open`` (until the row ended it), ``ended``, ``told 408`` (a status
    #: came before the end), ``reset``, ``wrong`` or ``failed: ...``; of a ``socket``
    #: with its server's name behind it.
    what: str


class Crowd(OwnProgram):
    """As a context manager all are connected, or have failed to."""

    def __init__(
        self,
        kind: str,
        address: Address,
        count: int,
        at_once: int = 50,
        path: str = "/",
        first: int = 0,
    ) -> None:
        told = [kind, str(address), str(count), str(at_once), path, str(first)]
        super().__init__([sys.executable, "-S", "-E", "-m", "chaos.crowd", *told])

    def stop(self) -> list[Client]:
        """Have all leave, or finish what they are to do; what became of them."""
        said = self.end(timeout=4 * PATIENCE)
        return [Client(*each) for each in json.loads(said.splitlines()[-1])]


class _Crowd:
    """The clients, in their own process."""

    def __init__(
        self, kind: str, address: str, at_once: int, path: str, first: int
    ) -> None:
        self._kind = kind
        self._first = first
        self._does = KINDS[kind]
        self._port = int(address.removeprefix(TLS))
        speaks_tls = address.startswith(TLS) and kind not in STALLING
        self._open = TLSStream if speaks_tls else Stream
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
        await self._stay(number)
        while self._kind in RETURNING and not self._over:
            await asyncio.sleep(PAUSE)
            await self._stay(number)

    async def _stay(self, number: int) -> None:
        with self._noting() as noted, socket.socket() as sock:
            try:
                async with self._turn:
                    stream = await self._connect(sock, number)
            finally:
                self._connected += 1
            noted.append(await self._does(stream, self._path))

    async def _leaves(self, number: int) -> None:
        async with self._turn:
            if self._over and self._kind == "stream":
                return
            with self._noting() as noted, socket.socket() as sock:
                stream = await self._connect(sock, number)
                noted.append(await self._does(stream, self._path))

    async def _connect(self, sock: socket.socket, number: int) -> Stream:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = (self._first + number) // _PER_ADDRESS
        sock.bind((f"127.0.1.{1 + address}", 0))
        async with asyncio.timeout(PATIENCE):
            await loop.sock_connect(sock, ("127.0.0.1", self._port))
            stream = self._open(sock)
            await stream.begin()
        return stream

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


def main(
    kind: str, address: str, count: str, at_once: str, path: str = "/", first: str = "0"
) -> None:
    """Run the clients until the standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = _Crowd(kind, address, int(at_once), path, int(first))
    print(json.dumps(asyncio.run(crowd.run(int(count)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
