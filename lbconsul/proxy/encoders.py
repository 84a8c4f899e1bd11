"""Compress the content of responses as it comes."""

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from lbconsul.http.chunks import Chunks
from lbconsul.proxy.http_side import Part

#: Of zlib: a window of 32 KiB, and the header and trailer of gzip.
_GZIP = 15 + 16

#: Of brotli: a window of 256 KiB, an eighth of a percent worse than the usual 4 MiB.
_WINDOW = 18

#: The end of a chunked body.
_LAST_CHUNK = b"0\r\n\r\n"


class Encoder(Protocol):
    """Compresses one stream of bytes."""

    def add(self, data: Part) -> bytes:
        """Compress more; what is ready of it so far."""

    def flush(self) -> bytes:
        """All that has come and was not ready yet."""

    def finish(self) -> bytes:
        """The same, and the end of the stream."""


class _Gzip:
    """gzip (RFC 1952); it holds 256 KiB of memory."""

    __slots__ = ("_stream", "add")

    def __init__(self, level: int) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
        self.add: Callable[[Part], bytes] = self._stream.compress

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Brotli:
    """Brotli (RFC 7932); it holds 1 to 2 MiB of memory."""

    __slots__ = ("_stream", "finish", "flush")

    def __init__(self, level: int) -> None:
        # Imported here: it is an extra, and without types.
        brotli: Any = import_module("brotli")
        self._stream = brotli.Compressor(quality=level, lgwin=_WINDOW)
        self.flush: Callable[[], bytes] = self._stream.flush
        self.finish: Callable[[], bytes] = self._stream.finish

    def add(self, data: Part) -> bytes:
        # It takes no views.
        found: bytes = self._stream.process(bytes(data))
        return found


def encoder(coding: bytes, level: int) -> Encoder:
    """An encoder for ``gzip`` or ``br``."""
    return _Brotli(level) if coding == b"br" else _Gzip(level)


class EncodedBody:
    """The body of one response, which is compressed on its way.

    With `was_chunked` it comes with chunks, and with `is_chunked` it goes with chunks
    of its own; trailers that nothing has announced are dropped.
    """

    __slots__ = ("_chunks", "_encoder", "_is_chunked", "taken")

    def __init__(
        self, encoder: Encoder, *, was_chunked: bool, is_chunked: bool
    ) -> None:
        self._encoder = encoder
        self._chunks = Chunks(only_data=True) if was_chunked else None
        self._is_chunked = is_chunked
        #: Bytes of the content so far, before they are compressed.
        self.taken = 0

    def encode(self, part: Part, *, flushes: bool, is_over: bool) -> bytes:
        """What is sent for the next part; with `flushes` no byte of it waits."""
        chunks, encoder = self._chunks, self._encoder
        if chunks is not None and part:
            raw = bytes(part)
            chunks.feed(raw)
            part = raw if chunks.replaced is None else chunks.replaced
        self.taken += len(part)
        data = encoder.add(part) if part else b""
        if is_over:
            data += encoder.finish()
        elif flushes and part:
            data += encoder.flush()
        if not self._is_chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + _LAST_CHUNK if is_over else chunk
