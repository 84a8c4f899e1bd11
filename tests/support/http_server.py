"""Python's own web server, in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def python_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[tuple[str, int]]:
    """A server whose requests go to this handler; where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        serving.join()
