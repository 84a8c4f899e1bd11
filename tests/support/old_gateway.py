"""Plays the old gateway of a takeover, word by word as a test has it."""

import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lbconsul.takeover.rendezvous import listen_at
from tests.support.loopback import PATIENCE

#: What it does with one who comes.
Part = Callable[[socket.socket], object]


class OldGateway:
    """Listens at `path`; the first client gets the first part, and so on."""

    def __init__(self, path: str, *parts: Part) -> None:
        self._sock = listen_at(path)
        self._sock.settimeout(PATIENCE)
        self._parts = parts
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()

    def _play(self) -> None:
        with self._sock:
            for part in self._parts:
                client, _ = self._sock.accept()
                with client:
                    client.settimeout(PATIENCE)
                    part(client)


def says(
    data: bytes, sockets: Sequence[socket.socket] = (), at_once: int = 200
) -> Part:
    """Hears the question, says this, and waits until the other one has left.

    The descriptors of `sockets` come with its first bytes, that many with each.
    """

    def part(client: socket.socket) -> None:
        hear(client)
        rest = data
        numbers = [each.fileno() for each in sockets]
        while numbers:
            socket.send_fds(client, [rest[:1]], numbers[:at_once])
            rest, numbers = rest[1:], numbers[at_once:]
        client.sendall(rest)
        hear_all(client)

    return part


def hear(client: socket.socket) -> bytes:
    """One line, or what there was of it."""
    line = b""
    while not line.endswith(b"\n"):
        more = client.recv(1)
        if not more:
            break
        line += more
    return line


def hear_all(client: socket.socket) -> list[bytes]:
    """All lines until the other one leaves."""
    said = b""
    try:
        while more := client.recv(65536):
            said += more
    except ConnectionError:
        pass
    return said.splitlines()
