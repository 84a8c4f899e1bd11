"""Messages made up at random: by a grammar, and by changes to those of the table."""

import random
from collections.abc import Callable, Sequence

from tests.http.cases import REQUESTS, RESPONSES

_METHODS = (
    b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"BREW",
    b"get", b"CONNECT", b"TRACE", b"GETS", b"SOURCE",
)  # fmt: skip
_TARGETS = (
    b"/", b"/", b"/a/b?c=d", b"*", b"http://a/x", b"http://b/", b"https://a", b"//x",
    b"/a#b", b"/%2e%2E/", b"/%00", b"/a;b", b"a:80", b"/?a=http://b/", b"/\xc3\xa9",
)  # fmt: skip
_VERSIONS = (b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9")
_HOSTS = (b"a", b"a", b"a", b"b", b"a:80", b"[::1]:80", b"a b", b"", b"u@a", b"a, a")
_LINES = (
    b"A: b", b"A:", b"A:\t b \t", b"Cookie: a=b; c=d", b"X-Forwarded-For: 1.2.3.4",
    b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade",
    b"Connection: A, close", b"Connection: transfer-encoding", b"Connection: Host",
    b"Upgrade: websocket", b"Upgrade: h2c", b"HTTP2-Settings: AAA", b"TE: trailers",
    b"TE: gzip", b"Trailer: B", b"Keep-Alive: timeout=5", b"Proxy-Connection: close",
    b"Proxy: b", b"Expect: 100-continue", b"Expect: a", b"Content_Length: 4",
    b"Transfer_Encoding: chunked", b"Host: a", b"A : b", b" folded", b"\tfolded", b"A",
    b": b", b"Content-Encoding: gzip", b"A: \xff", b"A: \0", b"Range: bytes=0-1",
)  # fmt: skip
_LENGTHS = (
    b"%d", b"%d", b"%d", b"0%d", b"+%d", b"-%d", b"0x%d", b"%d, %d", b"%d,", b" %d ",
    b"%d.0", b"1%d", b'"%d"', b"%d\r\nContent-Length: %d", b"%d%d",
    b"%d00000000000000000000",
)  # fmt: skip
_CODINGS = (
    b"chunked", b"chunked", b"chunked", b"Chunked", b"chunked, chunked", b"identity",
    b"gzip, chunked", b"chunked, gzip", b"xchunked", b"chunked;q=1", b"\x0bchunked",
    b"chunked\r\nTransfer-Encoding: chunked", b"", b",chunked", b'"chunked"',
)  # fmt: skip
_SIZES = (
    b"%x", b"%x", b"%x", b"%X", b"0%x", b"%x;a", b"%x;a=b", b'%x;a="b;c"', b"%x ; a",
    b"%x ", b"0x%x", b"+%x", b"%x;", b"%x;a\nb", b'%x;a="\r\n"', b"0000000000000000%x",
    b"%x\t;a = b", b"%x;a;b=c", b"f%x", b"%x;\xff",
)  # fmt: skip
_ENDS = (b"\r\n",) * 30 + (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n")
_TRAILERS = (
    b"B: c", b"B: c", b"Content-Length: 3", b"Host: b", b"Transfer-Encoding: chunked",
    b"Set-Cookie: a", b"B : c", b" folded", b"B", b"content_length: 1", b"B: \0",
)  # fmt: skip
_STATUSES = (
    b"200 OK", b"200 OK", b"200 OK", b"404 No", b"204 No", b"304 No", b"200", b"200 ",
    b"100 Go on", b"103 Hints", b"101 Yes", b"099 A", b"2000 A", b"20 A", b"999 \xff",
    b"200\tOK", b" 200 OK", b"200 O\0K", b"2x0 A",
)  # fmt: skip
_ODD = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0",
    b"1", b"a", b"\xff", b"\x7f", b"_", b"-", b'"', b"#", b"/", b"=", b"\x0b", b"%",
    b"@", b"chunked", b"0\r\n\r\n", b"Host: a\r\n", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b"GET /smuggled HTTP/1.1\r\n",
)  # fmt: skip

#: Longer ones of the table say little more when they are changed, and take long.
_LONGEST = 4096

#: The table's requests and responses.
CORPUS: dict[bool, Sequence[bytes]] = {
    True: [each.raw for each in REQUESTS if len(each.raw) <= _LONGEST],
    False: [each.raw for each in RESPONSES if len(each.raw) <= _LONGEST],
}


class Maker:
    """Makes up messages; the same of the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._one: Callable[[Sequence[bytes]], bytes] = self._random.choice

    def _seldom(self, one_of: int) -> bool:
        return not self._random.randrange(one_of)

    def message(self, *, is_request: bool) -> bytes:
        """One or more messages, right or wrong."""
        draw = self._random
        if draw.randrange(2):
            raw = self._one(CORPUS[is_request])
        else:
            count = draw.choice((1, 1, 2, 3)) if is_request else 1
            raw = b"".join(self._whole(is_request) for _ in range(count))
        for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
            raw = self._changed(raw, is_request)
        return raw

    def pieces(self, data: bytes) -> list[bytes]:
        """The bytes in pieces of random sizes."""
        draw = self._random
        most = draw.choice((1, 2, 8, 64, 1024))
        found, at = list[bytes](), 0
        while at < len(data):
            size = draw.randint(1, most)
            found.append(data[at : at + size])
            at += size
        return found

    def _whole(self, is_request: bool) -> bytes:
        """A message by the grammar, with a mistake here and there."""
        body = bytes(self._random.choices(b"abc\r\n0", k=self._random.randrange(12)))
        fields = [self._one(_LINES) for _ in range(self._random.randrange(4))]
        framing = self._random.randrange(6)
        if framing < 2:
            length = self._one(_LENGTHS) if self._seldom(3) else b"%d"
            length = length.replace(b"%d", b"%d" % len(body))
            fields.append(b"Content-Length: " + length)
        if 1 <= framing < 4:
            coding = self._one(_CODINGS) if self._seldom(3) else b"chunked"
            fields.append(b"Transfer-Encoding: " + coding)
            body = self._chunked(body)
        elif framing >= 4:
            body = b""
        self._random.shuffle(fields)
        if is_request:
            line = b" ".join(map(self._one, (_METHODS, _TARGETS, _VERSIONS)))
            if not self._seldom(12):
                fields.insert(0, b"Host: " + self._one(_HOSTS))
        else:
            line = b"%b %b" % (self._one(_VERSIONS), self._one(_STATUSES))
        head = b"".join(each + self._one(_ENDS) for each in (line, *fields, b""))
        return head + body

    def _chunked(self, data: bytes) -> bytes:
        raw = b""
        while data:
            size = self._random.randint(1, len(data))
            chunk, data = data[:size], data[size:]
            line = self._one(_SIZES) if self._seldom(4) else b"%x"
            raw += line % size + self._one(_ENDS) + chunk + self._one(_ENDS)
        raw += b"0" + self._one(_ENDS)
        for _ in range(self._random.choice((0, 0, 0, 1, 2))):
            raw += self._one(_TRAILERS) + self._one(_ENDS)
        return raw + self._one(_ENDS)

    def _changed(self, raw: bytes, is_request: bool) -> bytes:
        """The bytes after one change."""
        ways = (
            self._insert, self._insert, self._replace, self._delete, self._flip,
            self._repeat_line, self._move_line, self._join,
        )  # fmt: skip
        way: Callable[[bytes, bool], bytes] = self._random.choice(ways)
        return way(raw, is_request)

    def _at(self, raw: bytes) -> int:
        return self._random.randint(0, len(raw))

    def _insert(self, raw: bytes, _: bool) -> bytes:
        at = self._at(raw)
        return raw[:at] + self._one(_ODD) + raw[at:]

    def _replace(self, raw: bytes, _: bool) -> bytes:
        at = self._at(raw)
        return raw[:at] + self._one(_ODD) + raw[at + 1 :]

    def _delete(self, raw: bytes, _: bool) -> bytes:
        at = self._at(raw)
        return raw[:at] + raw[at + self._random.choice((1, 1, 2, 8, 1000)) :]

    def _flip(self, raw: bytes, _: bool) -> bytes:
        at = self._at(raw)
        flipped = bytes(each ^ 1 << self._random.randrange(8) for each in raw[at:][:1])
        return raw[:at] + flipped + raw[at + 1 :]

    def _repeat_line(self, raw: bytes, _: bool) -> bytes:
        lines = raw.split(b"\r\n")
        at = self._random.randrange(len(lines))
        return b"\r\n".join([*lines[:at], lines[at], *lines[at:]])

    def _move_line(self, raw: bytes, _: bool) -> bytes:
        lines = raw.split(b"\r\n")
        line = lines.pop(self._random.randrange(len(lines)))
        lines.insert(self._random.randint(0, len(lines)), line)
        return b"\r\n".join(lines)

    def _join(self, raw: bytes, is_request: bool) -> bytes:
        """The beginning of it, and the end of another."""
        other = self._one(CORPUS[is_request])
        return raw[: self._at(raw)] + other[self._at(other) :]
