"""Reads whole messages as a proxy does: bytes come in pieces, heads and then bodies."""

from collections.abc import Iterable

from attrs import Factory, define

from lbconsul.http.chunks import Chunks
from lbconsul.http.errors import Refused
from lbconsul.http.head import CHUNKED, UNTIL_CLOSE, Limits
from lbconsul.http.request import RequestHead, RequestParser, request_fields
from lbconsul.http.response import ResponseHead, ResponseParser, response_fields

#: As `lbconsul.proxy.http_settings` has them.
_OF_RESPONSES = Limits(head=131072, fields=500)


@define
class Message:
    """A message, and what is passed on of it."""

    head: RequestHead | ResponseHead
    body: bytearray = Factory(bytearray)
    #: Of a chunked body, its data alone.
    data: bytearray = Factory(bytearray)
    is_over: bool = False

    @property
    def sent(self) -> bytes:
        """All of it, as it is passed on."""
        head = self.head
        return head.line + head.fields.lines + b"\r\n" + bytes(self.body)


@define
class Reading:
    """What became of the bytes: messages, and why the rest was refused, if it was."""

    messages: list[Message] = Factory(list)
    refused: Refused | None = None

    @property
    def verdict(self) -> int | None:
        """As in `tests.http.cases`."""
        if self.refused is not None:
            return self.refused.status
        is_over = self.messages and self.messages[-1].is_over
        return None if is_over and not self.rest else 0

    #: The bytes behind the last message.
    rest: bytes = b""
    #: Those from the beginning of the message that is read, or was refused.
    begun: bytes = b""


class _Reader:
    def __init__(self, is_request: bool, is_of_head: bool) -> None:
        self.reading = Reading()
        self._requests = RequestParser(request_fields(), Limits())
        self._responses = ResponseParser(response_fields(), _OF_RESPONSES)
        self._is_request, self._is_of_head = is_request, is_of_head
        self._head: RequestHead | ResponseHead | None = None
        self._last: RequestHead | None = None
        self._chunks, self._data = Chunks(), Chunks(only_data=True)
        self._left = 0
        self._has_answered = False

    def feed(self, data: bytes) -> None:
        data, self.reading.rest = self.reading.rest + data, b""
        pos = 0
        while True:
            if self._head is None:
                self.reading.begun = data[pos:]
                self._head = self._parse(data, pos)
                if self._head is None:
                    self.reading.rest = data[pos:]
                    return
                pos += len(self._head.raw)
                self.reading.messages.append(Message(self._head))
                self._left = self._head.fields.body
            pos = self._take(data, pos)
            if pos < 0:
                return
            self.reading.messages[-1].is_over = True
            self._head = None

    def _parse(self, data: bytes, pos: int) -> RequestHead | ResponseHead | None:
        if self._is_request:
            self._last = self._requests.parse(data, pos, self._last) or self._last
            if self._last is None or not data.startswith(self._last.raw, pos):
                return None
            return self._last
        if self._has_answered:
            if data[pos:]:
                raise Refused(502, "it was not asked for")
            return None
        head = self._responses.parse(data, pos, self._is_of_head)
        self._has_answered = head is not None and head.status >= 200
        return head

    def _take(self, data: bytes, pos: int) -> int:
        """Take bytes of the body; return the index behind it, or -1."""
        message = self.reading.messages[-1]
        if self._left == UNTIL_CLOSE:
            message.body += data[pos:]
            return -1
        if self._left != CHUNKED:
            taken = data[pos : pos + self._left]
            message.body += taken
            self._left -= len(taken)
            return -1 if self._left else pos + len(taken)
        end = self._chunks.feed(data, pos)
        passed = self._chunks.replaced
        if passed is None:
            passed = data[pos:] if end < 0 else data[pos:end]
        message.body += passed
        assert self._data.feed(data, pos) == end
        if self._data.replaced is None:
            message.data += data[pos:]
        else:
            message.data += self._data.replaced
        return end


def read(
    pieces: Iterable[bytes], *, is_request: bool = True, is_of_head: bool = False
) -> Reading:
    """Read messages from the pieces, until one is refused."""
    reader = _Reader(is_request, is_of_head)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Refused as error:
        status = error.status if is_request else 502
        reader.reading.refused = Refused(status, str(error))
    return reader.reading


def in_pieces(data: bytes, size: int = 1) -> list[bytes]:
    """The bytes in pieces of this size."""
    return [data[i : i + size] for i in range(0, len(data), size)]
