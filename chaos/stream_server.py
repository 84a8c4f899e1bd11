"""A web server for many connections: long answers, slow ones, and uploads.

usage: python -m chaos.stream_server NAME HOST PORT [PEM]

``/`` is answered as `tests.support.web_server` does; ``/bytes?n=1000`` with so many
bytes of `content`; ``/drip?n=1000&s=5`` with the same over five seconds; ``PUT
/digest`` with the digest of what was sent.  ``/late?n=1000&s=5`` is ``/bytes`` five
seconds later.  ``/echo`` is switched to another protocol, in which the server says its
name and a line end, and then what it hears.  With a certificate it speaks TLS.
"""

import asyncio
import hashlib
import random
import ssl
import sys
import zlib
from urllib.parse import parse_qs, urlsplit

from tests.support.web_server import WebServer

#: What all long answers are made of, again and again.
BLOCK = random.Random(1).randbytes(1 << 16)

#: Parts of a slow answer.
PARTS = 20


class StreamServer(WebServer):
    """The same as a process, with TLS if there is a certificate to show."""

    module = "chaos.stream_server"

    def __init__(
        self, name: str, host: str = "127.0.0.1", port: int = 0, pem: str = ""
    ) -> None:
        super().__init__(name, host, port)
        self.more = (pem,) if pem else ()


def content(size: int) -> bytes:
    """So many bytes, always the same."""
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def digest(data: bytes) -> str:
    """What to compare instead of the bytes."""
    return hashlib.sha256(data).hexdigest()


class _Visit:
    """One connection, and the requests on it."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer

    async def answer_all(self) -> None:
        try:
            while True:
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(head)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self._writer.close()

    async def _answer(self, head: str) -> None:
        method, target, _ = head.split(" ", 2)
        url = urlsplit(target)
        query = parse_qs(url.query)
        if method == "PUT":
            await self._take(head, url.path, url.query)
        elif url.path == "/bytes":
            await self._stream(int(query["n"][0]), 0.0)
        elif url.path == "/drip":
            await self._stream(int(query["n"][0]), float(query["s"][0]))
        elif url.path == "/late":
            await asyncio.sleep(float(query["s"][0]))
            await self._stream(int(query["n"][0]), 0.0)
        elif url.path == "/echo":
            await self._echo()
        else:
            await self._say(f"{self._name} {url.query}\n".encode())

    async def _take(self, head: str, path: str, query: str) -> None:
        """Read the body, which may be larger than memory, and tell what it was."""
        lines = dict(each.split(": ", 1) for each in head.split("\r\n")[1:] if each)
        left, found, crc = int(lines["Content-Length"]), hashlib.sha256(), 0
        while left:
            data = await self._reader.read(min(left, len(BLOCK)))
            if not data:
                raise ConnectionError("the connection ended before the body did")
            found.update(data)
            crc = zlib.crc32(data, crc)
            left -= len(data)
        if path == "/digest":
            await self._say(found.hexdigest().encode())
        else:
            await self._say(f"{self._name} {query} {crc:x}\n".encode())

    async def _echo(self) -> None:
        """Switch the protocol; return at the client's end."""
        self._writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        data = f"{self._name}\n".encode()
        while data:
            self._writer.write(data)
            await self._writer.drain()
            data = await self._reader.read(len(BLOCK))
        raise ConnectionError("the client has left")

    async def _say(self, body: bytes) -> None:
        self._begin(len(body))
        self._writer.write(body)
        await self._writer.drain()

    async def _stream(self, size: int, seconds: float) -> None:
        self._begin(size)
        step = max(1, size // PARTS) if seconds else len(BLOCK)
        for begin in range(0, size, step):
            # Steps of a whole block take no copy.
            part = BLOCK if step == len(BLOCK) <= size - begin else _part(begin, step)
            self._writer.write(part[: size - begin])
            await self._writer.drain()
            if seconds:
                await asyncio.sleep(seconds / PARTS)

    def _begin(self, size: int) -> None:
        self._writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
        )


def _part(begin: int, length: int) -> bytes:
    offset = begin % len(BLOCK)
    return content(offset + length)[offset:]


async def serve(name: str, host: str, port: int, pem: str = "") -> None:
    """Until it is killed."""
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)

    async def visited(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _Visit(name, reader, writer).answer_all()

    server = await asyncio.start_server(visited, host, port, backlog=4096, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
