"""New TLS connections, each of which resumes an earlier session.

usage: python -m bench.handshakes PORT SECONDS CONNECTIONS

wrk never resumes a session, and `openssl s_time -reuse` has one connection at a time
and does not say how many were resumed.  Here as many threads as there are to be
connections at a time connect, offer the last session, ask, and read to the end.

It prints how many connections were made within how many seconds, and how many resumed.
"""

import json
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.processes import unverified

_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"

#: What the file ends with.
_END = b"x" * 100

#: How long one read may take, in seconds.
_PATIENCE = 10.0


class Client:
    """Connections one after another, each of which offers the last one's session."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = unverified()
        self._session: ssl.SSLSession | None = None
        self.connections = 0
        self.resumed = 0

    def connect(self) -> None:
        """Make one connection and ask once.

        :raises RuntimeError: the answer is not whole.
        """
        with (
            socket.create_connection(("127.0.0.1", self._port), _PATIENCE) as plain,
            self._context.wrap_socket(
                plain, server_hostname="localhost", session=self._session
            ) as sock,
        ):
            sock.sendall(_REQUEST)
            answer = b""
            while data := sock.recv(4096):
                answer += data
            if not answer.endswith(_END):
                raise RuntimeError(f"answered {answer!r}")
            self.connections += 1
            self.resumed += bool(sock.session_reused)
            # With TLS 1.3 it comes with or after the first bytes.
            self._session = sock.session

    def run(self, end: float) -> None:
        """Connect until that time."""
        while time.monotonic() < end:
            self.connect()


def main(port: str, seconds: str, connections: str) -> None:
    """Connect, and print what was counted."""
    clients = [Client(int(port)) for _ in range(int(connections))]
    begun = time.monotonic()
    end = begun + float(seconds)
    with ThreadPoolExecutor(len(clients)) as threads:
        # One that failed raises here.
        list(threads.map(lambda client: client.run(end), clients))
    counted = {
        "connections": sum(each.connections for each in clients),
        "resumed": sum(each.resumed for each in clients),
        "seconds": time.monotonic() - begun,
    }
    print(json.dumps(counted))


if __name__ == "__main__":
    main(*sys.argv[1:])
