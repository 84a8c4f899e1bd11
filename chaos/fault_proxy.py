"""A proxy that delays, cuts into slices, and trickles, and loses nothing.

usage: python -m chaos.fault_proxy TARGET_PORT HOST PORT
"""

import asyncio
import random
import socket
import sys

from tests.support.web_server import WebServer

#: Before what comes is sent on, in seconds at most.
DELAY = 0.02

#: The longest slice, in bytes.
SLICE = 7

#: One slice of so many waits for a moment, so that it travels alone.
ALONE = 100


class FaultProxy(WebServer):
    """The same as a process; its name is the port that it leads to."""

    module = "chaos.fault_proxy"


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end."""
    try:
        while data := await reader.read(2048):
            await asyncio.sleep(random.uniform(0, DELAY))
            await trickle(data, writer)
        writer.write_eof()
    except OSError:
        writer.close()


async def trickle(data: bytes, writer: asyncio.StreamWriter) -> None:
    """In slices of one byte to seven."""
    begin = 0
    while begin < len(data):
        length = random.randint(1, SLICE)
        writer.write(data[begin : begin + length])
        begin += length
        await writer.drain()
        if not random.randrange(ALONE):
            await asyncio.sleep(0.001)


async def serve(target: int, host: str, port: int) -> None:
    """Until it is killed."""

    async def joined(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        for each in (writer, there[1]):
            sock = each.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))
        writer.close()
        there[1].close()

    server = await asyncio.start_server(joined, host, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
