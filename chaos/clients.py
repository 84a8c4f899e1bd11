"""What the clients of a crowd do, once they are connected, and how it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count, repeat
from urllib.parse import parse_qs, urlsplit

from chaos.stream_server import content, digest
from chaos.streams import Stream, client_hello


async def _hold(stream: Stream, path: str) -> str:
    await _ask(stream, "/")
    await _answer(stream)
    return await _until_the_end(stream)


async def _slow(stream: Stream, path: str) -> str:
    return await _drip(stream, repeat(b"G"))


async def _deaf(stream: Stream, path: str) -> str:
    await _ask(stream, path)
    return str(await asyncio.Future())


async def _heads(stream: Stream, path: str) -> str:
    await stream.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-Long: ")
    return await _drip(stream, repeat(b"x"))


async def _bodies(stream: Stream, path: str) -> str:
    await stream.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 9999\r\n\r\n")
    return await _drip(stream, repeat(b"x"))


async def _socket(stream: Stream, path: str) -> str:
    await stream.send(
        b"GET /echo HTTP/1.1\r\nHost: test\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    name = await _switched(stream)
    try:
        return f"{await _echoed(stream)} {name}"
    except asyncio.CancelledError:
        return f"open {name}"


async def _mute(stream: Stream, path: str) -> str:
    await stream.send(client_hello())
    return await _until_the_end(stream)


async def _trickle(stream: Stream, path: str) -> str:
    return await _drip(stream, (bytes([each]) for each in client_hello()))


async def _fetch(stream: Stream, path: str) -> str:
    (size,) = parse_qs(urlsplit(path).query)["n"]
    await _ask(stream, path)
    return "whole" if await _answer(stream) == content(int(size)) else "wrong"


async def _put(stream: Stream, path: str) -> str:
    (size,) = parse_qs(urlsplit(path).query)["n"]
    data = content(int(size))
    await _ask(stream, "/digest", data)
    return "whole" if (await _answer(stream)).decode() == digest(data) else "wrong"


async def _drip(stream: Stream, parts: Iterable[bytes]) -> str:
    """Send one part a second, until the peer ends."""
    end = asyncio.create_task(_until_the_end(stream))
    for part in parts:
        if end.done():
            break
        await stream.send(part)
        await asyncio.wait([end], timeout=1.0)
    return await end


async def _ask(stream: Stream, path: str, body: bytes = b"") -> None:
    first = f"{'PUT' if body else 'GET'} {path} HTTP/1.1\r\n"
    head = f"{first}Host: test\r\nContent-Length: {len(body)}\r\n\r\n"
    await stream.send(head.encode() + body)


async def _answer(stream: Stream) -> bytes:
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += _some(await stream.receive())
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(head.split(b"\r\n")[0].decode())
    size = int(head.rpartition(b"Content-Length: ")[2].split()[0])
    while len(body) < size:
        body += _some(await stream.receive())
    return bytes(body)


def _some(data: bytes) -> bytes:
    if not data:
        raise OSError("the connection ended before the answer did")
    return data


async def _until_the_end(stream: Stream) -> str:
    heard = b""
    while data := await stream.receive():
        heard = heard or data
    if heard.startswith(b"HTTP/1.1 "):
        return f"told {heard.split()[1].decode()}"
    return "ended"


async def _switched(stream: Stream) -> str:
    """The name of the server that switches the protocol, which it says first."""
    received = b""
    while not received.endswith(b"\n") or received.endswith(b"\r\n"):
        received += _some(await stream.receive())
    head, _, name = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ValueError(head.decode(errors="replace"))
    return name.decode().rstrip()


async def _echoed(stream: Stream) -> str:
    """Have lines echoed until the peer ends."""
    for number in count():
        line = f"{number} {id(stream)}\n".encode()
        heard = b""
        try:
            await stream.send(line)
            while len(heard) < len(line):
                data = await stream.receive()
                if not data:
                    return "ended"
                heard += data
        except ConnectionError:
            return "reset"
        if heard != line:
            return "wrong"
        await asyncio.sleep(0.2)
    raise AssertionError("there is no last number")


#: What each kind of client does, by its name, with the path that it may ask for.
KINDS: dict[str, Callable[[Stream, str], Awaitable[str]]] = {
    "hold": _hold,
    "slow": _slow,
    "deaf": _deaf,
    "mute": _mute,
    "trickle": _trickle,
    "heads": _heads,
    "bodies": _bodies,
    "socket": _socket,
    "fetch": _fetch,
    "stream": _fetch,
    "put": _put,
}
