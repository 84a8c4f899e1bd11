"""A gateway in HTTP mode, and behind it llhttp, which says what it is sent."""

import re
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbconsul.http.errors import Refused
from lbconsul.http.path import normalized_path
from lbconsul.http.request import RequestHead
from lbconsul.http.response import ResponseHead
from tests.http.disagreements import content
from tests.http.llhttp import Callbacks, TheirMessage, TheirReading, their_reading
from tests.http.reading import Reading, read
from tests.support import loopback
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import instance

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

#: What an own answer of the gateway begins with, such as 400.
_OWN = re.compile(rb"HTTP/1\.1 (?:4|5)[0-9]{2} ")


class LLHTTPServer:
    """A server that answers what llhttp takes for requests, and notes that."""

    def __init__(self) -> None:
        self._listening = loopback.listening()
        self._listening.settimeout(None)
        #: What each connection has said.
        self.readings: list[TheirReading] = []
        #: What it says instead of an answer of its own, and then closes.
        self.answer: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def close(self) -> None:
        """Accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            reading = TheirReading()
            callbacks = Callbacks(reading)
            callbacks.parser = HttpRequestParser(callbacks)
            self.readings.append(reading)
            answered = 0
            while data := sock.recv(1 << 16):
                try:
                    callbacks.parser.feed_data(data)
                except HttpParserUpgrade as upgrade:
                    if upgrade.args[0] < len(data):
                        reading.refused = "bytes behind an upgrade"
                except HttpParserError as error:
                    reading.refused = str(error) or type(error).__name__
                    return
                for each in reading.messages[answered:]:
                    if not each.is_over:
                        break
                    answered += 1
                    if self.answer is not None:
                        sock.sendall(self.answer)
                        sock.shutdown(socket.SHUT_WR)
                        return
                    sock.sendall(_ok(each.what))


def _ok(method: bytes) -> bytes:
    body = b"" if method == b"HEAD" else b"ok"
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body


class ThroughProxy:
    """Sends requests and responses through a gateway, and looks at what comes out."""

    def __init__(self) -> None:
        self._server = LLHTTPServer()
        upstream = instance("web1", self._server.port)
        self._proxy = RunningProxy(upstream, mode="http")

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._proxy.__exit__(kind, error, trace)
        self._server.close()

    def _heard(self, pieces: Iterable[bytes]) -> tuple[bytes, bool]:
        """What a client gets that says this and ends; whether it got a reset."""
        heard, was_reset = b"", False
        with loopback.connect(self._proxy.address) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for each in pieces:
                    client.sendall(each)
                client.shutdown(socket.SHUT_WR)
            except (ConnectionError, OSError):
                pass  # it was refused before it was whole
            try:
                while data := client.recv(1 << 16):
                    heard += data
            except ConnectionResetError:
                was_reset = True
        return heard, was_reset

    def check_requests(self, pieces: list[bytes]) -> None:
        """Fail unless the server gets exactly the requests that we read, in order."""
        ours = read([b"".join(pieces)])
        if not all(_is_known(each.head.raw) for each in ours.messages):
            return  # llhttp refuses other methods
        readings, self._server.answer = self._server.readings, None
        before = [(each, len(each.messages)) for each in readings]
        heard, _ = self._heard(pieces)
        known = dict.fromkeys(id(each) for each, _ in before)
        new = [(each, 0) for each in list(readings) if id(each) not in known]
        got = [one for each, at in before + new for one in each.messages[at:]]
        assert [each.refused for each in readings if each.refused] == []
        whole = [each for each in got if each.is_over]
        expected = _expected(ours)
        sent = [(each.what, each.target, each.body) for each in whole]
        assert sent == expected[: len(sent)]
        if len(sent) < len(expected):  # it closes, or answers itself, before the rest
            assert _ends_early(ours, len(sent)) or _OWN.search(heard), heard
        assert heard.count(b"HTTP/1.1 200 OK\r\n") == len(sent), heard
        # Those that are cut are never answered.
        assert len(got) - len(whole) <= 1
        readings[:] = [each for each in readings if not each.refused][-8:]

    def check_response(self, raw: bytes) -> None:
        """Fail unless a client gets the response that we read, or 502."""
        ours = read([raw], is_request=False)
        self._server.answer = raw
        heard, was_reset = self._heard([GET])
        self._server.readings.clear()
        theirs = their_reading(heard, is_request=False)
        assert not theirs.refused, theirs.refused
        final = [each for each in theirs.messages if not each.what.startswith(b"1")]
        if was_reset and not final:
            return
        assert len(final) == 1, heard
        _check_final(final[0], ours, was_reset=was_reset)


def _check_final(theirs: TheirMessage, ours: Reading, *, was_reset: bool) -> None:
    """Fail unless this is the response that we read, as far as it came, or 502."""
    final = [each for each in ours.messages if _status(each.head) >= 200]
    if not final:
        assert theirs.what == b"502"
        return
    status, _, body = content(final[0])
    if theirs.what == b"502" != status:
        # Its body was wrong from the beginning on.
        assert ours.refused is not None
        return
    assert theirs.what == status
    if final[0].is_over:
        assert theirs.body == body
        assert theirs.is_over or final[0].head.fields.body == -2
    else:
        assert body.startswith(theirs.body)
        assert not theirs.is_over or was_reset or theirs.body == body


def _status(head: object) -> int:
    assert isinstance(head, ResponseHead)
    return head.status


def _is_known(raw: bytes) -> bool:
    """Whether llhttp knows the method."""
    method = raw.split(b" ")[0].strip()
    return not their_reading(method + b" / HTTP/1.1\r\n\r\n").refused


def _expected(ours: Reading) -> list[tuple[bytes, bytes, bytes]]:
    """What is to be sent on of the requests."""
    expected = []
    for each in ours.messages:
        head = each.head
        assert isinstance(head, RequestHead)
        if not each.is_over:
            break
        try:
            path = normalized_path(head.path)
        except Refused:
            break
        method, _, body = content(each)
        expected.append((method, path + head.target[len(head.path) :], body))
        if head.fields.close:
            break
    return expected


def _ends_early(ours: Reading, count: int) -> bool:
    """Whether the connection is over after so many requests."""
    return any(each.head.fields.close for each in ours.messages[:count])
