"""What a client of a crowd says and hears, with TLS or without."""

import asyncio
import socket
import ssl
from contextlib import suppress

from tests.support.load import unverified


def client_hello() -> bytes:
    """The first message of a handshake."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        unverified().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


class Stream:
    """A connected socket that does not block."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def begin(self) -> None:
        """Shake hands, if that is to be done."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """What comes next; empty at the end."""
        return await asyncio.get_running_loop().sock_recv(self._sock, 65536)


class TLSStream(Stream):
    """The same with TLS; an end without close_notify is an error."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = unverified().wrap_bio(self._in, self._out)

    async def begin(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._exchange()
            else:
                return await super().send(self._out.read())

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await super().send(self._out.read())

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                await self._exchange()

    async def _exchange(self) -> None:
        """Send what is to be sent, and wait for what comes."""
        if self._out.pending:
            await super().send(self._out.read())
        if data := await super().receive():
            self._in.write(data)
        else:
            self._in.write_eof()
