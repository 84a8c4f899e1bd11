"""A GiB in either direction, through TLS."""

import hashlib
import socket
import time
from functools import partial

from chaos.row import Row
from chaos.scene import Scene
from chaos.stream_server import BLOCK, StreamServer
from tests.support.load import connect

#: In bytes, a multiple of the block that it is made of.
SIZE = 1 << 30


def play(scene: Scene, *, tls_behind: bool = False) -> None:
    """Fetch it, and send it; the digest of what comes must be that of what was sent."""
    site = scene.site()
    pem = site.issue("instance", "127.0.0.1") if tls_behind else ""
    behind = f",upstream-tls=on,upstream-ca={site.authority}" if tls_behind else ""
    servers = scene.servers(kind=partial(StreamServer, pem=pem))
    usual = scene.usual(site=site, servers=servers, mapping=behind)
    expected = hashlib.sha256()
    for _ in range(SIZE // len(BLOCK)):
        expected.update(BLOCK)
    for name, transfer in (("fetched", fetched), ("sent", sent)):
        begun = time.monotonic()
        with connect(usual.address) as client:
            digest = transfer(client)
        lasted = time.monotonic() - begun
        whole = digest == expected.hexdigest()
        scene.report.count(1, 0, int(not whole))
        scene.report.require(f"{name} whole", whole)
        scene.report.note(f"rate of what was {name}", SIZE / 2**20 / lasted, "MiB/s")


def fetched(client: socket.socket) -> str:
    """The digest of what comes."""
    client.sendall(f"GET /bytes?n={SIZE} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    found, left = hashlib.sha256(), SIZE
    with client.makefile("rb") as stream:
        while stream.readline() != b"\r\n":
            pass
        while data := stream.read(min(left, len(BLOCK))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()


def sent(client: socket.socket) -> str:
    """The digest that the server has of what was sent."""
    head = f"PUT /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {SIZE}\r\n\r\n"
    client.sendall(head.encode())
    for _ in range(SIZE // len(BLOCK)):
        client.sendall(BLOCK)
    with client.makefile("rb") as stream:
        while stream.readline() != b"\r\n":
            pass
        return stream.read(hashlib.sha256().digest_size * 2).decode()


ROWS = (
    Row(
        "gibibyte-tls",
        "a GiB is fetched, and one is sent; TLS before the gateway",
        play,
        only_full=True,
    ),
    Row(
        "gibibyte-tls-both",
        "a GiB is fetched, and one is sent; TLS before and behind the gateway",
        partial(play, tls_behind=True),
        only_full=True,
    ),
)
