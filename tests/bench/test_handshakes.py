"""The client that resumes TLS sessions, before a server that lets it or not."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench.handshakes import Client
from tests.support.certificates import Authority

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100


@contextmanager
def served(
    folder: Path, connections: int, answer: bytes = ANSWER, tickets: int = 2
) -> Iterator[int]:
    """The port of a server of TLS 1.3, which answers on so many connections."""
    issued = Authority(folder).issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    context.num_tickets = tickets

    def serve() -> None:
        for _ in range(connections):
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True) as sock:
                sock.recv(4096)
                sock.sendall(answer)
                with suppress(OSError):  # a client may be gone by now
                    sock.unwrap()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]


def test_each_connection_resumes_the_session_of_the_one_before(tmp_path: Path) -> None:
    """All connections but the first are resumed, and counted as such."""
    with served(tmp_path, 3) as port:
        client = Client(port)
        for _ in range(3):
            client.connect()
    assert (client.connections, client.resumed) == (3, 2)


def test_full_handshakes_are_not_taken_for_resumed_ones(tmp_path: Path) -> None:
    """A server that issues no tickets shows in the count."""
    with served(tmp_path, 2, tickets=0) as port:
        client = Client(port)
        client.connect()
        client.connect()
    assert (client.connections, client.resumed) == (2, 0)


def test_a_cut_answer_is_an_error(tmp_path: Path) -> None:
    """A connection without a whole answer does not count as one."""
    with served(tmp_path, 1, answer=ANSWER[:-1]) as port:
        client = Client(port)
        with pytest.raises(RuntimeError, match="answered"):
            client.connect()
    assert client.connections == 0
