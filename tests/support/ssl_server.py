"""A server of Python's ssl, with a thread for each client."""

import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.support.certificates import Issued
from tests.support.loopback import PATIENCE, listening

#: The most clients at a time.
_MOST = 20


class SSLServer:
    """Serves each client by a function, which gets its stream after the handshake."""

    host = "127.0.0.1"

    def __init__(self, issued: Issued, serve: Callable[[ssl.SSLSocket], None]) -> None:
        self._serve = serve
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(issued.cert, issued.key)
        self._sock = listening()
        self._sock.settimeout(None)
        self.port: int = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more."""
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._sock.close()

    def _accept(self) -> None:
        with ThreadPoolExecutor(_MOST) as pool:
            while True:
                try:
                    client, _ = self._sock.accept()
                except OSError:
                    return
                pool.submit(self._answer, client)

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE)
        with suppress(OSError), self._context.wrap_socket(client, True) as stream:
            self._serve(stream)
