"""The admin listener of a gateway that runs, as its users and their programs see it."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import quote

import jsonschema

from tests.support.binaries import REPOSITORY
from tests.support.waiting import PATIENCE, eventually

SCHEMA = json.loads((REPOSITORY / "docs" / "status.schema.json").read_text())
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

#: How long one answer, or an event, may take, in seconds.
TIMEOUT = PATIENCE


class Said(NamedTuple):
    """One answer."""

    code: int
    body: str

    @property
    def error(self) -> str:
        """Why it was refused."""
        return str(json.loads(self.body)["error"])


class AdminSide:
    """Asks at a port of 127.0.0.1, or at the path of a UNIX socket."""

    def __init__(self, place: int | str) -> None:
        self.place = place

    def connect(self, timeout: float = TIMEOUT) -> HTTPConnection:
        """A connection on which nothing was said yet."""
        if isinstance(self.place, int):
            return HTTPConnection("127.0.0.1", self.place, timeout=timeout)
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(self.place)
        return connection

    def ask(self, method: str, path: str, token: str | None = None) -> Said:
        """The answer to one request."""
        connection = self.connect()
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return Said(response.status, response.read().decode())
        finally:
            connection.close()

    def get(self, path: str) -> Said:
        """The answer to a question."""
        return self.ask("GET", path)

    def order(self, verb: str, upstream: str, token: str | None = None) -> Said:
        """The answer to an order about an upstream, named by its id."""
        return self.ask("POST", f"/upstreams/{quote(upstream, safe='')}/{verb}", token)

    def status(self) -> Any:
        """What ``/status`` says, which is as documented."""
        code, body = self.get("/status")
        assert code == 200, body
        status = json.loads(body)
        _VALIDATOR.validate(status)
        return status

    def names(self) -> list[str]:
        """The names of the mappings in ``/status``."""
        return [each["name"] for each in self.status()["mappings"]]

    def upstreams(self, mapping: int = 0) -> dict[str, Any]:
        """The upstreams of a mapping, over its pools, by service id."""
        pools = self.status()["mappings"][mapping]["pools"]
        return {row["service_id"]: row for pool in pools for row in pool["upstreams"]}

    def wait_for_standing(self, service_id: str, standing: str) -> Any:
        """The upstream, once that is how it stands."""
        seen: list[Any] = []

        def stands() -> bool:
            seen.append(self.upstreams().get(service_id, {}))
            return bool(seen[-1].get("standing") == standing)

        eventually(stands, f"{service_id} is {standing}")
        return seen[-1]

    @contextmanager
    def listening(self, since: str | None = None) -> Iterator["Listener"]:
        """Listen to what changes, maybe from a certain event on."""
        connection = self.connect()
        headers = {} if since is None else {"Last-Event-ID": since}
        try:
            connection.request("GET", "/events?figures=off", headers=headers)
            response = connection.getresponse()
            assert response.status == 200
            assert response.getheader("Content-Type") == "text/event-stream"
            yield Listener(response)
        finally:
            connection.close()


class Event(NamedTuple):
    """One event, as it came."""

    id: str
    name: str
    data: Any


class Listener:
    """Hears the events of a stream."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        #: All that was heard so far.
        self.heard: list[Event] = []

    def wait_for(self, kind: str) -> Event:
        """The next event of this kind, a change or a name."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            event = self._next()
            if event is None:
                continue
            self.heard.append(event)
            if kind in (event.name, event.data.get("kind")):
                return event
        raise AssertionError(f"no {kind!r} among {self.heard}")

    def _next(self) -> Event | None:
        """The next one; None if it was but a sign of life."""
        fields: dict[str, str] = {}
        while True:
            try:
                line = self._response.readline().decode()
            except TimeoutError:
                raise AssertionError(f"nothing came after {self.heard}") from None
            assert line, f"the stream has ended after {self.heard}"
            if line != "\n":
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
            elif "data" in fields:
                data = json.loads(fields["data"])
                return Event(fields.get("id", ""), fields.get("event", ""), data)
            else:
                return None
