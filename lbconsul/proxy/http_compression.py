"""Responses that are compressed on their way to the client."""

from lbconsul.http.compression import IDENTITY, encoded, not_modified, varied
from lbconsul.http.head import CHUNKED
from lbconsul.http.response import NOT_MODIFIED, ResponseHead
from lbconsul.proxy.encoders import EncodedBody, encoder
from lbconsul.proxy.http_dial import DialedRequest
from lbconsul.proxy.http_side import READ_SIZE, Part
from lbconsul.stats.termination import Termination

_CODED = b"Transfer-Encoding: chunked\r\n"


class CompressedResponse(DialedRequest):
    """Compresses the response to one request, if it is to be compressed."""

    #: The body that is compressed; None: it is passed on as it is.
    encoded_body: EncodedBody | None = None
    #: What waits for its turn: a head, a part, and whether the body is over then.
    _waiting: tuple[bytes, bytes, bool] | None = None

    def _with_coding(
        self, head: ResponseHead, lines: bytes, part: Part, is_over: bool
    ) -> bytes:
        """The lines of a response, of which this is the beginning of the body."""
        settings, fields, asked = self._settings, head.fields, self.head.fields
        rules = settings.compressing
        assert rules is not None
        length = fields.length
        if length < 0 and is_over and not head.is_of_head:
            length = len(part)
        if not rules.varies(head, length):
            return lines
        lines = varied(lines, fields.raw)
        if head.status == NOT_MODIFIED:
            return not_modified(lines, asked.raw)
        coding = rules.coding(asked.raw)
        if coding == IDENTITY:
            return lines
        lines = encoded(lines, coding)
        self.coding = coding.decode()
        if head.is_of_head:
            return lines
        is_chunked = asked.minor > 0
        was_chunked = fields.body == CHUNKED and is_chunked
        self.encoded_body = EncodedBody(
            encoder(coding, settings.mapping.compression.level),
            was_chunked=was_chunked,
            is_chunked=is_chunked,
        )
        if not is_chunked:
            self.close = True
        elif not was_chunked:
            lines += _CODED
        return lines

    def _pass_encoded(self, head: bytes, part: Part, is_over: bool) -> None:
        """Compress a part and pass it on, or have it wait for its turn."""
        turns, waiting = self._settings.turns, self._waiting
        assert turns is not None
        if waiting is not None:
            self._waiting = waiting[0], waiting[1] + part, is_over
            return
        if turns.take(len(part)):
            self._encode(head, part, is_over)
            return
        self._waiting = head, bytes(part), is_over
        if self.upstream is not None:
            self.upstream.pause()
        turns.wait(self)

    def go_on(self) -> None:
        """Compress what waits, unless the exchange is over."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or self.upstream is None:
            return
        head, part, is_over = waiting
        turns = self._settings.turns
        assert turns is not None
        turns.go_on(len(part))
        self.upstream.resume()
        self._encode(head, part, is_over)

    def _encode(self, head: bytes, part: Part, is_over: bool) -> None:
        body = self.encoded_body
        assert body is not None
        # A full read is followed by another one at once.
        flushes = len(part) < READ_SIZE
        data = body.encode(part, flushes=flushes, is_over=is_over)
        self.plain = body.taken
        self._send_on(head, data, is_over)

    def _send_on(self, head: bytes, part: Part, is_over: bool) -> None:
        """Send the next part of a response to the client."""
        session = self._session
        self.sent += len(part)
        try:
            if head:
                session.send_message(head, part)
            elif part:
                session.send(part)
        except OSError:
            session.end(Termination.CLIENT_RESET)
            return
        if is_over:
            self.is_answered = True
            if self.close or not (self.head.fields.body and session.is_in_body):
                session.on_exchange_over()
        elif session.is_full and self.upstream is not None:
            self.upstream.pause()
