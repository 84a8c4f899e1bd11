"""Ask an admin listener over a connection in memory, with time standing still."""

import json
from collections.abc import Iterable
from email.message import Message
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lbconsul.admin.auth import Authorizer, Secret
from lbconsul.admin.event_log import EventLog
from lbconsul.admin.event_stream import Stream
from lbconsul.admin.http_server import AdminFactory, Channel
from lbconsul.admin.requests import Requests
from lbconsul.admin.routes import Routes
from lbconsul.config.listen import TCPListen, UnixListen
from tests.support.fake_source import FakeSource, FixedToken, fake_source

LOOPBACK = TCPListen("127.0.0.1", 9200)

#: Seconds since the epoch, as long as time stands still.
NOW = 1_760_000_000.0


@frozen
class Answer:
    """What came back."""

    code: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def value(self) -> Any:
        """The body, if it is JSON."""
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence that says why not."""
        [(key, sentence)] = self.value.items()
        assert key == "error"
        return str(sentence)


class Connection(StringTransport):
    """A connection whose other end is lost when ours ends."""

    protocol: Channel

    def abortConnection(self) -> None:
        super().abortConnection()
        self.lose()

    def doWrite(self) -> None:
        """All that is written is sent already."""

    def enough(self) -> None:
        """The other end takes no more for now."""
        assert self.producer is not None
        self.producer.pauseProducing()

    def more(self) -> None:
        """It does, again."""
        assert self.producer is not None
        self.producer.resumeProducing()

    def lose(self) -> None:
        """The other end is gone."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionError("gone")))


@define(eq=False)
class Site:
    """An admin listener in memory."""

    listen: TCPListen | UnixListen = LOOPBACK
    token: Secret | None = Factory(lambda: FixedToken("s3cret"))
    open_read: bool = False
    clock: Clock = Factory(Clock)
    source: FakeSource = Factory(
        lambda self: fake_source(self._start(), 12), takes_self=True
    )
    stream: Stream = Factory(
        lambda self: Stream(self.clock, self.source, self.source.events),
        takes_self=True,
    )
    requests: Requests = Factory(Requests)
    factory: AdminFactory = Factory(lambda self: self._factory(), takes_self=True)

    def _start(self) -> Any:
        self.clock.advance(NOW)
        return self.clock.seconds

    def _factory(self) -> AdminFactory:
        guard = Authorizer(self.listen, self.token, self.open_read)
        routes = Routes(self.clock, self.source, guard, self.stream, self.requests)
        return AdminFactory(self.clock, routes.answer)

    @property
    def events(self) -> EventLog:
        return self.source.events

    def connect(self) -> Connection:
        """A connection on which nothing was said yet."""
        channel: Any = self.factory.buildProtocol(None)
        assert channel is not None
        connection = Connection()
        connection.protocol = channel
        channel.makeConnection(connection)
        return connection

    def ask(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """The answer to one request."""
        connection = self.connect()
        self.say(connection, method, path, headers)
        for _ in range(10_000):
            if not self.clock.getDelayedCalls() or connection.disconnecting:
                break
            self.clock.advance(0)
        return answer(connection.value(), method)

    def say(
        self,
        connection: Connection,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Ask, and leave it to others to look for the answer."""
        told = {"Host": "127.0.0.1:9200", "Connection": "close"} | dict(headers)
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in told.items())]
        request = "".join(f"{line}\r\n" for line in (*lines, ""))
        connection.protocol.dataReceived(request.encode("utf-8", "surrogateescape"))

    def answer_one(self) -> None:
        """Answer one request, and do nothing else."""
        call = min(self.clock.calls, key=lambda each: each.getTime())
        self.clock.calls.remove(call)
        call.func()

    def ask_in_vain(self, path: str) -> None:
        """Ask for what is cut off."""
        connection = self.connect()
        self.say(connection, "GET", path)
        self.clock.advance(0)
        assert not connection.connected

    def change(self, path: str, *headers: tuple[str, str]) -> Answer:
        """Order something, with the token."""
        return self.ask("POST", path, [("Authorization", "Bearer s3cret"), *headers])


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> BytesIO:
        return BytesIO(self._data)


def answer(data: bytes, method: str = "GET") -> Answer:
    """What the bytes of an answer say."""
    response = HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return Answer(response.status, response.headers, response.read())
