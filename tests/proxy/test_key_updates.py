"""Clients that change their keys while the relay is busy in both directions."""

import fcntl
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.support.certificates import Authority, together
from tests.support.loopback import accept, listening, receive
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import instance
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.process

#: A byte that the client prints only if it comes from the upstream.
BYTE = b"\x01"

UPDATES = 20


class Client:
    """A running ``openssl s_client``, which takes commands."""

    def __init__(self, port: int, output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{port}"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        stdin = self.process.stdin
        assert stdin is not None
        self._stdin: IO[bytes] = stdin

    def type(self, line: bytes) -> None:
        """Type a line, and wait until it is read: a command is one at a time."""
        self._stdin.write(line + b"\n")
        self._stdin.flush()
        eventually(self._has_read, "it reads the line")

    def _has_read(self) -> bool:
        left = fcntl.ioctl(self._stdin, termios.FIONREAD, bytes(4))
        return struct.unpack("i", left) == (0,)

    def printed(self, what: bytes) -> int:
        """How often it has printed this."""
        return self._output.read_bytes().count(what)


@contextmanager
def running_client(address: object, output: Path) -> Iterator[Client]:
    """A client, until the block ends."""
    assert isinstance(address, tuple)
    client = Client(address[1], output)
    try:
        yield client
    finally:
        client.process.kill()
        client.process.communicate()


@pytest.mark.parametrize("command", [b"K", b"k"])
def test_key_updates_in_bulk(command: bytes, tmp_path: Path) -> None:
    """A long answer arrives whole, though keys are changed all the time."""
    issued = Authority(tmp_path).issue("localhost")
    pem = together(tmp_path / "web.pem", issued.cert, issued.key)
    enough, sent = threading.Event(), [0]
    with (
        listening() as server,
        RunningProxy(instance("a", server.getsockname()[1]), tls=pem) as proxy,
        running_client(proxy.address, tmp_path / "client") as client,
        accept(server) as upstream,
    ):

        def answer() -> None:
            while not enough.wait(0.001):
                upstream.sendall(BYTE * 40_000)
                sent[0] += 40_000

        answering = threading.Thread(target=answer)
        answering.start()
        for number in range(UPDATES):
            client.type(command)
            client.type(b"question %d" % number)
        enough.set()
        answering.join(PATIENCE)
        asked = b"".join(b"question %d\n" % number for number in range(UPDATES))
        assert receive(upstream, len(asked)) == asked
        eventually(lambda: client.printed(BYTE) == sent[0], "all of it")
        assert client.printed(b"KEYUPDATE") == UPDATES
