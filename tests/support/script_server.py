"""A catalog that answers as its script says, however wrong that is, on real sockets."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure


class Asked:
    """One question that came in, to be answered or not."""

    def __init__(self, server: "ScriptServer", transport: Any, head: str) -> None:
        line, *fields = head.split("\r\n")
        self.server = server
        self.transport = transport
        self.target = line.split(" ")[1]
        self.params = dict(parse_qsl(urlsplit(self.target).query, True))
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields)
        }
        #: Whether the client hung up.
        self.gone = False

    @property
    def index(self) -> int:
        """The index past which the question blocks; 0 where it does not."""
        return int(self.params.get("index", "0"))

    def answer(
        self,
        body: bytes,
        index: object = None,
        *,
        status: str = "200 OK",
        headers: Mapping[str, object] | None = None,
        length: int | None = None,
    ) -> None:
        """Write a whole answer, or one whose `length` is not the body's."""
        said: dict[str, object] = {"Content-Type": "application/json"}
        said["Content-Length"] = len(body) if length is None else length
        if index is not None:
            said["X-Consul-Index"] = index
        said |= headers or {}
        lines = [f"HTTP/1.1 {status}", *(f"{key}: {said[key]}" for key in said)]
        self.write("\r\n".join([*lines, "", ""]).encode() + body)

    def write(self, raw: bytes) -> None:
        """Write these bytes, whatever they are."""
        self.transport.write(raw)

    def close(self) -> None:
        """End the connection."""
        self.transport.loseConnection()

    def reset(self) -> None:
        """End the connection the hard way."""
        self.transport.abortConnection()


Script = Callable[[Asked], None]


@define(eq=False)
class ScriptServer:
    """
    Listens, records every query, and lets `script` answer it. The caller closes it.
    """

    _reactor: Any
    script: Script
    #: Every question that came, in order.
    asked: list[Asked] = Factory(list)
    #: How many connections were accepted.
    accepted: int = 0
    #: The connections that are open.
    connections: set["_Connection"] = Factory(set)
    _port: Any = None
    port: int = field(init=False, default=0)

    def listen(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Open a TCP port, any free one if it is not said which."""
        self._port = self._reactor.listenTCP(port, _Factory(self), interface=host)
        self.port = self._port.getHost().port

    def listen_unix(self, path: str) -> None:
        """Open a UNIX socket."""
        self._port = self._reactor.listenUNIX(path, _Factory(self))

    def listen_tls(self, options: Any, host: str = "127.0.0.1") -> None:
        """Open a TCP port for TLS."""
        self._port = self._reactor.listenSSL(0, _Factory(self), options, interface=host)
        self.port = self._port.getHost().port

    async def close(self) -> None:
        """Close the port, if it is open, and every connection."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        for connection in list(self.connections):
            connection.abort()
        while self.connections:
            await deferLater(self._reactor, 0.0)


class Honest:
    """A script that answers as Consul does: at once, or as soon as it has news."""

    def __init__(self, clock: IReactorTime, entries: Sequence[object] = ()) -> None:
        self._clock = clock
        self._waiting: list[Asked] = []
        self.index = 1
        #: Beside, or instead of, those that Consul sends.
        self.headers: dict[str, object] = {}
        self.say(entries)

    def say(self, entries: Sequence[object]) -> None:
        """The service's instances are these from now on."""
        self.body = json.dumps(entries).encode()
        self.index += 1
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            self.answer(asked)

    def hand_over(self, script: Script) -> None:
        """Leave every question that waits to another script."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            script(asked)

    def __call__(self, asked: Asked) -> None:
        if asked.index < self.index:
            self.answer(asked)
        else:
            self._waiting.append(asked)
            wait = float(asked.params["wait"].removesuffix("s"))
            self._clock.callLater(wait, self._wait_is_over, asked)

    def answer(self, asked: Asked) -> None:
        """Answer now."""
        own = {"X-Consul-KnownLeader": "true", "X-Consul-LastContact": 0}
        asked.answer(self.body, self.index, headers={**own, **self.headers})

    def _wait_is_over(self, asked: Asked) -> None:
        if asked in self._waiting:
            self._waiting.remove(asked)
            self.answer(asked)


def entry(
    number: int = 1, *, service: str = "web", status: str = "passing", **of: Any
) -> dict[str, Any]:
    """What Consul says of one instance; `of` replaces fields of its Service."""
    return {
        "Node": {"Node": "n1", "Address": "127.0.0.1", "Datacenter": "dc1"},
        "Service": {
            "ID": f"{service}-{number}",
            "Service": service,
            "Address": f"127.1.{number // 250}.{number % 250 + 1}",
            "Port": 8000,
            **of,
        },
        "Checks": [{"CheckID": "up", "ServiceID": "x", "Status": status}],
    }


class _Connection(Protocol):
    def __init__(self, server: ScriptServer) -> None:
        self._server = server
        self._heads = b""
        self._asked: list[Asked] = []

    def abort(self) -> None:
        """Reset the connection."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionMade(self) -> None:
        self._server.accepted += 1
        self._server.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        *heads, self._heads = (self._heads + data).split(b"\r\n\r\n")
        for head in heads:
            asked = Asked(self._server, self.transport, head.decode())
            self._asked.append(asked)
            self._server.asked.append(asked)
            self._server.script(asked)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.connections.discard(self)
        for asked in self._asked:
            asked.gone = True


class _Factory(ProtocolFactory):
    noisy = False

    def __init__(self, server: ScriptServer) -> None:
        self._server = server

    def buildProtocol(self, addr: object) -> _Connection:
        return _Connection(self._server)
