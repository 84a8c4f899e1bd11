"""What pages of others do through a gateway in HTTP mode: events, and WebSocket."""

import queue
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser.chromium import Browser
from tests.end_to_end.registrar import Place, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.http_server import python_server
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE
from tests.support.websocket import echo_server
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: It notes what it hears of events and of a WebSocket.
PAGE = b"""<!doctype html><title>other</title><script>
const heard = [];
const events = new EventSource("/events");
events.onmessage = event => heard.push(event.lastEventId + ":" + event.data);

const said = [];
let chat;
function talk() {
    chat = new WebSocket(`ws://${location.host}/chat`);
    chat.binaryType = "arraybuffer";
    chat.onopen = () => {
        chat.send("\\u03ba\\u{1f525}");
        chat.send(new Uint8Array(3 << 20).fill(7));
    };
    chat.onmessage = ({data}) => {
        if (typeof data === "string") said.push(data);
        else said.push(data.byteLength, new Uint8Array(data).every(each => each === 7));
    };
    chat.onclose = ({code, reason, wasClean}) => said.push(code, reason, wasClean);
}
</script>"""

TOLD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


class Stream(NamedTuple):
    """A browser that listens to events, and what it has heard up to before."""

    sock: socket.socket
    last_id: str

    def tell(self, what: bytes) -> None:
        """Send a part of the stream."""
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(what), what))


class _Site(BaseHTTPRequestHandler):
    """Hands the page out, and streams of events to the test."""

    #: Each stream that begins, and whether it is over.
    begun: "queue.Queue[Stream]"
    over: "queue.Queue[None]"

    def do_GET(self) -> None:
        self.close_connection = True
        if self.path != "/events":
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d"
                b"\r\n\r\n%b" % (len(PAGE), PAGE)
            )
            return
        self.wfile.write(TOLD + b"Transfer-Encoding: chunked\r\n\r\n")
        last_id = self.headers.get("Last-Event-ID", "")
        _Site.begun.put(Stream(self.connection, last_id))
        _Site.over.get(timeout=PATIENCE)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url(consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page through a gateway with two workers, before two instances."""
    _Site.begun, _Site.over = queue.Queue(), queue.Queue()
    registrar, (port,) = Registrar(consul), free_ports(1)
    with ExitStack() as stack:
        for name in "one", "two":
            _, of_site = stack.enter_context(python_server(_Site))
            registrar.add("site", Place(name, of_site))
        registrar.add("chat", Place("echo", stack.enter_context(echo_server())))
        stack.callback(registrar.clean_up)
        told = ["--consul", f"127.0.0.1:{consul.port}", "--workers", "2"]
        told += ["--map", f"{port}:site,mode=http", "--route", f"{port}:/chat=chat"]
        home: Path = tmp_path_factory.mktemp("pages")
        gateway = stack.enter_context(Gateway(home, *told))
        all_serve(gateway, 2)
        yield f"http://127.0.0.1:{port}/"


def test_events(browser: Browser, url: str) -> None:
    """Events arrive as they are sent; a stream that ends goes on where it ended."""
    browser.open(url)
    stream = _Site.begun.get(timeout=PATIENCE)
    assert stream.last_id == ""
    stream.tell(b"retry: 10\n\n")
    number = 0
    for end in ("0\r\n\r\n", "", "no chunk"):
        for _ in range(3):
            number += 1
            stream.tell(b"id: %d\ndata: said\n\n" % number)
            browser.wait(f"return heard.at(-1) === '{number}:said'")
        stream.sock.sendall(end.encode())  # in order, cut off, or malformed
        _Site.over.put(None)
        stream = _Site.begun.get(timeout=PATIENCE)
        assert stream.last_id == str(number)
    browser.open("about:blank")
    _Site.over.put(None)


def test_websocket(browser: Browser, url: str) -> None:
    """A page's messages come back, and the code with which it closes."""
    browser.open(url)
    browser.run("talk()")
    browser.wait("return said.length === 3")
    browser.run("chat.close(4000, 'enough')")
    browser.wait("return said.length === 6")
    assert browser.run("return said") == [
        "\N{GREEK SMALL LETTER KAPPA}\N{FIRE}",
        3 << 20,
        True,
        4000,
        "enough",
        True,
    ]
    browser.open("about:blank")
    _Site.begun.get(timeout=PATIENCE)
    _Site.over.put(None)
