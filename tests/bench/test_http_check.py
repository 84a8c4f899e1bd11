"""Answers are checked before they are measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from attrs import evolve

from bench.http_check import wrong
from bench.work import HTTP_WORK


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = {"/small": 100, "/64k": 99}.get(self.path)
        self.send_response(404 if size is None else 200)
        self.send_header("Content-Length", str(size or 0))
        self.end_headers()
        self.wfile.write(b"x" * (size or 0))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def _serving() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HTTP, keep-alive", ""),
        ("HTTP, 64 KiB", "a body of 99 bytes is not the 65536 asked for"),
        ("HTTP, 100 MiB", "answered with 404"),
        ("HTTP, POST 16 KiB", "in chunks"),
    ],
)
def test_what_is_wrong_is_told(name: str, said: str) -> None:
    """No balancer is measured while it refuses, or sends something else."""
    with _serving() as port:
        assert wrong(HTTP_WORK[name], port) == said


def test_an_answer_that_should_come_in_chunks() -> None:
    """A length where chunks are to be measured is noticed."""
    work = evolve(HTTP_WORK["HTTP, keep-alive"], chunked=True)
    with _serving() as port:
        assert wrong(work, port) == "not in chunks"
