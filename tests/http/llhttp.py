"""Reads messages with llhttp, Node's parser, to compare ours with it."""

from typing import Protocol

from attrs import Factory, define
from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)


@define
class TheirMessage:
    """A message as llhttp understands it."""

    #: The method, or the status.
    what: bytes = b""
    target: bytes = b""
    body: bytes = b""
    is_over: bool = False


@define
class TheirReading:
    """What became of the bytes."""

    messages: list[TheirMessage] = Factory(list)
    #: Why the rest was refused; empty if it was not.
    refused: str = ""
    #: Whether the rest would be another protocol.
    is_upgraded: bool = False

    @property
    def verdict(self) -> int | None:
        """None if accepted, 0 if not over, else 400."""
        if self.refused:
            return 400
        return None if self.messages and self.messages[-1].is_over else 0


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...


class Callbacks:
    """What httptools calls."""

    def __init__(self, reading: TheirReading) -> None:
        self._reading = reading
        self.parser: HttpRequestParser | HttpResponseParser

    def on_message_begin(self) -> None:
        self._reading.messages.append(TheirMessage())

    def on_url(self, url: bytes) -> None:
        self._reading.messages[-1].target += url

    def on_headers_complete(self) -> None:
        if isinstance(self.parser, HttpRequestParser):
            self._reading.messages[-1].what = self.parser.get_method()
        else:
            self._reading.messages[-1].what = b"%d" % self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._reading.messages[-1].body += body

    def on_message_complete(self) -> None:
        self._reading.messages[-1].is_over = True


def their_reading(data: bytes, *, is_request: bool = True) -> TheirReading:
    """What llhttp reads, from the bytes in one piece."""
    reading = TheirReading()
    callbacks = Callbacks(reading)
    kind = HttpRequestParser if is_request else HttpResponseParser
    callbacks.parser = kind(callbacks)
    try:
        callbacks.parser.feed_data(data)
    except HttpParserUpgrade:
        reading.is_upgraded = True
    except HttpParserError as error:
        reading.refused = str(error) or type(error).__name__
    return reading
