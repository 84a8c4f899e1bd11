"""Asking the admin listener of a gateway, from another process."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lbconsul.admin import client
from lbconsul.admin.client import Admin, CannotAsk, Refused
from lbconsul.admin.event_messages import Message
from tests.support.ports import free_ports

STATUS = b'{"format":2,"gateway":{}}'


class Replying:
    """Gives one answer to one client, and keeps what that said."""

    def __init__(self, sock: socket.socket, body: bytes, code: int = 200) -> None:
        self._sock, self._body, self._code = sock, body, code
        self.asked = b""
        self._thread = threading.Thread(target=self._reply, daemon=True)
        self._thread.start()

    def _reply(self) -> None:
        client, _ = self._sock.accept()
        with client:
            self.asked = client.recv(65536)
            head = (
                f"HTTP/1.1 {self._code} X\r\nContent-Length: {len(self._body)}\r\n\r\n"
            )
            client.sendall(head.encode() + self._body)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        yield sock


def test_asking(sock: socket.socket) -> None:
    """The client asks the given address, with the token if there is one."""
    port = sock.getsockname()[1]
    for address in (str(port), f"127.0.0.1:{port}", f"localhost:{port}"):
        replying = Replying(sock, STATUS)
        assert Admin(address).status() == json.loads(STATUS)
        assert replying.asked.startswith(b"GET /status HTTP/1.1\r\n")
        assert b"Authorization" not in replying.asked
    replying = Replying(sock, STATUS)
    Admin(str(port), "s3cret").status()
    assert b"Authorization: Bearer s3cret\r\n" in replying.asked


def test_unix(tmp_path: Path) -> None:
    """A UNIX socket can be asked."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "admin"))
        sock.listen()
        Replying(sock, STATUS)
        assert Admin(f"unix:{tmp_path}/admin").status() == json.loads(STATUS)
    with pytest.raises(CannotAsk, match="no answer at unix:/nowhere: No such file"):
        Admin("unix:/nowhere").status()


def test_why(sock: socket.socket) -> None:
    """What becomes of a request is asked with all that is said of it."""
    port = sock.getsockname()[1]
    replying = Replying(sock, b'{"text":""}')
    fields = ["A: b", "C: d"]
    assert Admin(str(port)).why("http://x/?y", "PUT", fields) == {"text": ""}
    asked = b"/why?url=http%3A%2F%2Fx%2F%3Fy&method=PUT&header=A%3A+b&header=C%3A+d"
    assert replying.asked.startswith(b"GET %b HTTP/1.1\r\n" % asked)


@pytest.mark.parametrize(
    ("code", "body", "why"),
    [
        (400, b'{"error":"no mapping"}', "no mapping"),
        (200, b"<html>", "the answer is not lbconsul's (HTTP 200)"),
        (404, b"[]", "the answer is not lbconsul's (HTTP 404)"),
    ],
)
def test_no_answer_why(sock: socket.socket, code: int, body: bytes, why: str) -> None:
    """An error, or an answer of another kind, is one line."""
    port = sock.getsockname()[1]
    Replying(sock, body, code)
    with pytest.raises(CannotAsk) as caught:
        Admin(str(port)).why("http://x/", "GET", [])
    assert str(caught.value) == f"{port}: {why}"


def test_orders(sock: socket.socket) -> None:
    """Orders are posted with the token, and the id of the upstream as one segment."""
    port = sock.getsockname()[1]
    replying = Replying(sock, b'{"done":"drain","lasts":"x"}')
    admin = Admin(str(port), "s3crét")
    assert admin.order("drain", "dc1/n/a%2Fb")["lasts"] == "x"
    said = b"POST /upstreams/dc1%2Fn%2Fa%252Fb/drain HTTP/1.1\r\n"
    assert replying.asked.startswith(said)
    assert "Authorization: Bearer s3crét\r\n".encode() in replying.asked
    replying = Replying(sock, b'{"done":"drain"}', 202)
    admin.drain_gateway()
    assert replying.asked.startswith(b"POST /drain HTTP/1.1\r\n")
    Replying(sock, b'{"error":"no upstream"}', 404)
    with pytest.raises(CannotAsk, match=f"^{port}: no upstream$"):
        admin.order("eject", "dc1/n/gone")


def test_events(sock: socket.socket) -> None:
    """Events come one by one, until the gateway ends."""
    port = sock.getsockname()[1]
    replying = Replying(sock, b"id: 1-1\ndata: {}\n\ndata: []\n\n")
    events = iter(Admin(str(port), "t").events("1-0"))
    assert [next(events), next(events)] == [Message("{}", id="1-1"), Message("[]")]
    assert replying.asked.startswith(b"GET /events?figures=off HTTP/1.1\r\n")
    assert b"Authorization: Bearer t\r\n" in replying.asked
    assert b"Last-Event-ID: 1-0\r\n" in replying.asked
    with pytest.raises(CannotAsk, match=f"^{port}: the stream of events has ended$"):
        next(events)
    replying = Replying(sock, b'{"error":"needs the token"}', 401)
    with pytest.raises(Refused, match=f"^{port}: needs the token$"):
        Admin(str(port)).events()
    assert b"Last-Event-ID" not in replying.asked
    Replying(sock, b'{"error":"too many readers"}', 503)
    with pytest.raises(CannotAsk, match=f"^{port}: too many readers$") as caught:
        Admin(str(port)).events()
    assert not isinstance(caught.value, Refused)


def test_stopped_events(sock: socket.socket) -> None:
    """A stream can be ended while a thread waits for its next event."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    client = Admin(str(sock.getsockname()[1]))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client.events)
        silent, _ = sock.accept()
        with silent:
            silent.sendall(head)
            events = asked.result()
            waiting = pool.submit(next, iter(events))
            events.stop()
            with pytest.raises(CannotAsk, match="the stream of events has ended"):
                waiting.result()


@pytest.mark.parametrize(
    ("code", "body", "why"),
    [
        (401, b'{"error":"needs the token"}', "needs the token"),
        (200, b'{"format":"2"}', "the answer is not a status of lbconsul (HTTP 200)"),
        (200, b"<html>", "the answer is not a status of lbconsul (HTTP 200)"),
        (404, b"[]", "the answer is not a status of lbconsul (HTTP 404)"),
        (200, b"[" * 100_000, "the answer is not a status of lbconsul (HTTP 200)"),
        (500, b"\xff", "the answer is not a status of lbconsul (HTTP 500)"),
    ],
)
def test_no_status(sock: socket.socket, code: int, body: bytes, why: str) -> None:
    """An answer of another kind is one line of error."""
    port = sock.getsockname()[1]
    Replying(sock, body, code)
    with pytest.raises(CannotAsk) as caught:
        Admin(str(port)).status()
    assert str(caught.value) == f"{port}: {why}"


@pytest.mark.parametrize(("theirs", "age"), [(1, "an older"), (3, "a newer")])
def test_another_format(sock: socket.socket, theirs: int, age: str) -> None:
    """Command and gateway may be of different versions: the line says which is older,
    and what to use instead."""
    port = sock.getsockname()[1]
    Replying(sock, b'{"format":%d,"gateway":{}}' % theirs)
    with pytest.raises(CannotAsk) as caught:
        Admin(str(port)).status()
    assert str(caught.value) == (
        f"{port}: the gateway runs {age} lbconsul, whose status has format {theirs};"
        " this command reads format 2: use the one that is installed with the gateway"
    )


class Endless:
    """Says this to one client, and then something more again and again."""

    def __init__(self, sock: socket.socket, begin: bytes, more: bytes) -> None:
        self._sock, self._begin, self._more = sock, begin, more
        threading.Thread(target=self._say, daemon=True).start()

    def _say(self) -> None:
        client, _ = self._sock.accept()
        with client, suppress(OSError):
            client.sendall(self._begin)
            while True:
                time.sleep(0.01)
                client.sendall(self._more)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n[", b" "),
    ],
    ids=["interim", "head", "body"],
)
def test_no_end(
    sock: socket.socket, begin: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless answer is given up after a while."""
    monkeypatch.setattr(client, "_PATIENCE_FOR_ALL", 0.2)
    port = sock.getsockname()[1]
    Endless(sock, begin, more)
    with pytest.raises(CannotAsk):
        Admin(str(port)).status()


def test_too_much(sock: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer longer than any status is refused."""
    monkeypatch.setattr(client, "_MOST", 1000)
    port = sock.getsockname()[1]
    Endless(sock, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 600)
    with pytest.raises(
        CannotAsk, match=(f"no answer at {port}: the answer is longer than 1000")
    ):
        Admin(str(port)).status()


@pytest.mark.parametrize("address", ["", "web", "127.0.0.1", "1:x", "http://a:b", "²"])
def test_no_address(address: str) -> None:
    """An invalid address is one line of error, too."""
    form = r"must be \[HOST:\]PORT, https://\[HOST:\]PORT or unix:/PATH"
    with pytest.raises(CannotAsk, match=form):
        Admin(address).status()


def test_nobody_there() -> None:
    """A port where no gateway listens causes no traceback."""
    (port,) = free_ports(1)
    with pytest.raises(CannotAsk, match=f"^no answer at {port}: Connection refused$"):
        Admin(str(port)).status()
    with pytest.raises(CannotAsk, match=r"no answer at 127\.0\.0\.1:99999: "):
        Admin("127.0.0.1:99999").status()
    with pytest.raises(CannotAsk, match=r"no answer at no.such.host.invalid:1: \w"):
        Admin("no.such.host.invalid:1").status()
