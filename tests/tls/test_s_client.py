"""OpenSSL's own client, which updates keys, renegotiates, and keeps sessions."""

import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from lbconsul.tls.certificates import CertificateStore
from lbconsul.tls.server import TLSServer
from lbconsul.tls.stream import TLSStream
from tests.support.certificates import Authority, load_certificates, together
from tests.support.loopback import accept, listening
from tests.support.tls import NOT_NOW, in_turn, read_some
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.process


@define
class Client:
    """A running ``openssl s_client``, and our side of its connection."""

    process: subprocess.Popen[bytes]
    output: Path
    stream: TLSStream

    def type(self, line: str) -> None:
        """Type a line, once the client has done what was typed before."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def shows(self, text: str, times: int = 1) -> None:
        """Wait until the client has printed this, so many times."""
        eventually(lambda: self.output.read_text("latin-1").count(text) == times, text)

    def end(self) -> str:
        """End the client's input; all that it printed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        return self.output.read_text("latin-1")


@pytest.fixture
def server(tmp_path: Path) -> TLSServer:
    """A server with a certificate for localhost."""
    authority = Authority(tmp_path)
    issued = authority.issue("localhost")
    path = together(tmp_path / "web.pem", issued.cert, issued.key)
    return TLSServer(CertificateStore(load_certificates("--tls", path)), time.time)


class Clients:
    """Starts clients."""

    def __init__(self, folder: Path, server: TLSServer) -> None:
        self._folder, self._server = folder, server
        self._started: list[Client] = []
        self._listener = listening()

    def start(self, *options: str) -> Client:
        """A client whose handshake is complete."""
        _, port = self._listener.getsockname()
        output = self._folder / f"client-{len(self._started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        sock = accept(self._listener)
        sock.setblocking(False)
        client = Client(process, output, self._server.accept(sock))
        self._started.append(client)
        in_turn(client.stream.handshake)
        return client

    def close(self) -> None:
        """End all that was started."""
        self._listener.close()
        for each in self._started:
            each.stream.close()
            each.process.kill()
            each.process.communicate()


@pytest.fixture
def clients(tmp_path: Path, server: TLSServer) -> Iterator[Clients]:
    """Starts clients of the server."""
    made = Clients(tmp_path, server)
    yield made
    made.close()


@pytest.mark.parametrize("command", ["K", "k"])
def test_key_updates(clients: Clients, command: str) -> None:
    """A client may change its key, and ask us to change ours, at any time."""
    client = clients.start("-tls1_3")
    for number in range(3):
        client.type(command)
        client.shows("KEYUPDATE\n", times=number + 1)
        assert select.select([client.stream], [], [], PATIENCE)[0]
        # One update for each read: a flood of them must not keep the reactor.
        with pytest.raises(BlockingIOError):
            client.stream.recv_into(bytearray(61440))
        assert not client.stream.wants_write
        client.type(f"question {number}")
        assert read_some(client.stream) == f"question {number}\n".encode()
        client.stream.send(f"answer {number}\n".encode())
        client.shows(f"answer {number}\n")
    client.stream.shutdown(socket.SHUT_WR)
    assert "closed" in client.end()


def test_renegotiation_is_refused(clients: Clients) -> None:
    """A client of TLS 1.2 that renegotiates gets no second handshake."""
    client = clients.start("-tls1_2")
    client.type("question")
    assert read_some(client.stream) == b"question\n"
    client.type("R")
    client.shows("RENEGOTIATING\n")

    def ends() -> bool:
        try:
            return client.stream.recv_into(bytearray(61440)) == 0
        except NOT_NOW:
            return False
        except ConnectionError:
            return True

    eventually(ends, "the client gives up")
    assert client.stream.connection.total_renegotiations() == 0
    assert "no renegotiation" in client.end()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_in_a_file(clients: Clients, tmp_path: Path, version: str) -> None:
    """A client that comes again with its ticket resumes the session."""
    session = str(tmp_path / "session")
    for options, is_new in (("-sess_out", True), ("-sess_in", False)):
        client = clients.start(version, options, session)
        client.stream.send(b"hello\n")
        client.shows("hello\n")
        client.type("Q")  # the client leaves
        assert read_some(client.stream) == b""
        client.stream.close()
        assert ("New, TLS" if is_new else "Reused, TLS") in client.end()
