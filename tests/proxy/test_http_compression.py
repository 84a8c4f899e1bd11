"""Compressed responses, as a client gets them."""

import gzip
import re
import shutil
import subprocess
import threading
import zlib
from typing import Any

import brotli
import pytest

from lbconsul.proxy import compression_turns
from tests.support.http_stage import DATE, HTTPStage, Peer
from tests.support.waiting import eventually

TEXT = b"".join(b"line %d of a text\n" % number for number in range(500))

GZIP: dict[str, Any] = {"compress": ("gzip",)}


def request(*lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request that accepts gzip and br, and has these lines."""
    head = [f"{method} / HTTP/{version}", "Host: a", "Accept-Encoding: gzip, br"]
    return "\r\n".join([*head, *lines, "", ""]).encode()


def response(*lines: str, length: int | None = len(TEXT), status: int = 200) -> bytes:
    """The head of a text of this length, or with chunks."""
    framing = (
        "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    )
    text = [f"HTTP/1.1 {status} OK", "Content-Type: text/plain", framing, *lines]
    return "\r\n".join([*text, ""]).encode() + DATE + b"\r\n"


def chunked_body(client: Peer) -> bytes:
    """The data of a chunked body."""
    data = b""
    while size := int(client.hear(b"\r\n"), 16):
        data += client.hear_bytes(size + 2)[:-2]
    client.hear_bytes(2)
    return data


def test_a_text() -> None:
    """Text is compressed for who accepts it, on a connection that goes on; its fields
    say so, also to caches."""
    with HTTPStage(compress=("br", "gzip")) as stage:
        client = stage.client()
        for number in range(2):
            client.say(request())
            if not number:
                upstream = stage.upstream()
            assert b"Accept-Encoding: gzip, br\r\n" in upstream.hear()
            upstream.say(response('ETag: "a"', "Accept-Ranges: bytes") + TEXT)
            head = client.hear()
            assert b"Content-Encoding: br\r\n" in head
            assert b"Transfer-Encoding: chunked\r\n" in head
            assert b"Vary: Accept-Encoding\r\n" in head
            assert b'ETag: W/"a"\r\n' in head
            assert b"Content-Length" not in head and b"Accept-Ranges" not in head
            assert brotli.decompress(chunked_body(client)) == TEXT
        http = stage.proxy.mapped.stats.use_http()
        eventually(lambda: http.compressed == 2, "they are counted")
        assert http.compressed_in == 2 * len(TEXT) > http.compressed_out > 0


#: What a client asks, what it is answered, and the fields that it gets then.
UNCHANGED = {
    "other client": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", response(), True),
    "small": (request(), response(length=9), False),
    "compressed": (request(), response("Content-Encoding: br"), False),
    "part": (request(), response("Content-Range: bytes 0-1/2", status=206), False),
    "error": (request("Cache-Control: no-transform"), response(), True),
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_what_stays(case: str) -> None:
    """What is not to be compressed comes as it is, and says on what that depends."""
    asked, answer, varies = UNCHANGED[case]
    with HTTPStage(**GZIP) as stage:
        client = stage.client()
        client.say(asked)
        upstream = stage.upstream()
        upstream.hear()
        length = int(re.findall(rb"Length: (\d+)", answer)[0])
        upstream.say(answer + TEXT[:length])
        head, body = client.hear_message()
        assert body == TEXT[:length]
        assert (b"Vary: Accept-Encoding\r\n" in head) is varies
        head = head.replace(b"Vary: Accept-Encoding\r\n", b"")
        assert set(head.split(b"\r\n")) == set(answer.split(b"\r\n"))


def test_heads_alone() -> None:
    """HEAD has the fields that GET would have, and 304 the ETag that it had."""
    with HTTPStage(**GZIP) as stage:
        client = stage.client()
        client.say(request(method="HEAD"))
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(response('ETag: "a"'))
        head = client.hear()
        assert b"Content-Encoding: gzip\r\n" in head
        assert b"Content-Length" not in head
        client.say(request('If-None-Match: W/"a"'))
        upstream.hear()
        upstream.say(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n%b\r\n' % DATE)
        head = client.hear()
        assert b'ETag: W/"a"\r\n' in head and b"Vary: Accept-Encoding\r\n" in head
        client.say(request())  # nothing of a body came in between
        upstream.hear()
        upstream.say(response() + TEXT)
        client.hear()
        assert gzip.decompress(chunked_body(client)) == TEXT


def test_events() -> None:
    """Each piece of a stream can be read when it has come, and not later."""
    with HTTPStage(**GZIP, compress_types=("text/plain",)) as stage:
        client = stage.client()
        client.say(request())
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(response(length=None))
        client.hear()
        unpack = zlib.decompressobj(31)
        for number in range(3):
            upstream.say(b"9\r\nevent %d\n\n\r\n" % number)
            size = int(client.hear(b"\r\n"), 16)
            piece = unpack.decompress(client.hear_bytes(size + 2)[:-2])
            assert piece == b"event %d\n\n" % number
        upstream.say(b"0\r\n\r\n")
        assert unpack.decompress(chunked_body(client)) == b"" and unpack.eof


def test_old_clients() -> None:
    """A client of HTTP/1.0 gets no chunks: the connection ends with the response."""
    with HTTPStage(**GZIP) as stage:
        upstream = None
        for framed in (True, False):
            client = stage.client()
            client.say(request("Connection: keep-alive", version="1.0"))
            upstream = upstream or stage.upstream()
            upstream.hear()
            chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(TEXT), TEXT)
            upstream.say(response() + TEXT if framed else response(length=None) + chunk)
            head = client.hear()
            assert b"Connection: close\r\n" in head and b"chunked" not in head
            assert gzip.decompress(client.hears_end()) == TEXT


@pytest.mark.parametrize("length", [2 * len(TEXT), None])
def test_a_response_that_is_cut(length: int | None) -> None:
    """A client can see that its response is not complete."""
    with HTTPStage(**GZIP) as stage:
        client = stage.client()
        client.say(request())
        upstream = stage.upstream()
        upstream.hear()
        body = TEXT if length else b"%x\r\n%b" % (2 * len(TEXT), TEXT)
        upstream.say(response(length=length) + body)
        client.hear()
        upstream.close()
        with pytest.raises((ConnectionResetError, EOFError)):
            chunked_body(client)


def test_turns_and_slow_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long response comes whole, though its parts have to wait for their turns, and
    the client reads it late; the gateway keeps little of it meanwhile."""
    monkeypatch.setattr(compression_turns, "IN_A_TURN", 1)
    body = TEXT * 200
    with HTTPStage(**GZIP, compress_level=1) as stage:
        client = stage.narrow_client()
        client.say(request())
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(response(length=len(body)))
        upstream.sock.setblocking(False)
        rest, sent = body, -1
        while rest and sent:
            try:
                sent = upstream.sock.send(rest)
            except BlockingIOError:
                break
            rest = rest[sent:]
        upstream.sock.settimeout(60)
        session = stage.session()
        eventually(lambda: session.is_full or not rest, "the client is slow")
        assert stage.proxy.call(lambda: len(session.unsent)) < 200_000
        client.hear()
        sender = threading.Thread(target=upstream.sock.sendall, args=(rest,))
        sender.start()
        assert gzip.decompress(chunked_body(client)) == body
        sender.join()


@pytest.mark.process
@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_curl(coding: str) -> None:
    """curl understands it."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed: this test does not run")
    with HTTPStage(compress=(coding,)) as stage:
        address = stage.proxy.address
        assert isinstance(address, tuple)
        host, port = address
        asked = subprocess.Popen(
            [curl, "--silent", "--compressed", f"http://{host}:{port}/"],
            stdout=subprocess.PIPE,
        )
        upstream = stage.upstream()
        upstream.hear()
        upstream.say(response() + TEXT)
        assert asked.communicate(timeout=60)[0] == TEXT
