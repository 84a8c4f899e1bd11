"""What the contract is asked of: the dev catalog, or a real Consul."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from typing import Any, Protocol
from urllib.parse import quote

from attrs import field, frozen

from tests.support.http_api import Answer
from tests.support.waiting import PATIENCE

REGISTER = "/v1/agent/service/register"

#: The wait of a query that a change is to answer: longer than any test waits.
LONG = "60s"


class Api(Protocol):
    """Whatever answers over HTTP."""

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...


@frozen
class Seen:
    """An answer of the catalog, how long it took, and the instances in it."""

    index: int
    instances: list[dict[str, Any]]
    seconds: float
    headers: Message

    def ids(self) -> list[str]:
        return [one["Service"]["ID"] for one in self.instances]


@frozen
class Subject:
    """One of the two, in the few words that the contract uses."""

    real: bool
    _api: Api
    _threads: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(4))

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        status, _, answer = self._api.api(method, path, body)
        return status, answer

    def headers(self, method: str, path: str) -> Message:
        return self._api.api(method, path)[1]

    def put(self, path: str, body: object = None) -> tuple[int, Any]:
        return self.ask("PUT", path, body)

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer

    def do(self, path: str, body: object = None) -> None:
        """A PUT that must succeed."""
        status, answer = self.put(path, body)
        assert status == 200, answer

    def register(self, name: str, **fields: object) -> None:
        self.do(REGISTER, {"Name": name, **fields})

    def see(self, name: str, **args: object) -> Seen:
        """What `/v1/health/service/<name>` lists."""
        asked = "&".join(f"{key}={quote(str(said))}" for key, said in args.items())
        began = time.monotonic()
        path = f"/v1/health/service/{quote(name)}?{asked}"
        status, headers, listed = self._api.api("GET", path)
        assert status == 200, listed
        index = int(headers["X-Consul-Index"])
        return Seen(index, listed, time.monotonic() - began, headers)

    def instance(self, name: str) -> dict[str, Any]:
        """The only instance of a service."""
        (instance,) = self.see(name).instances
        return instance

    def service(self, name: str) -> dict[str, Any]:
        service: dict[str, Any] = self.instance(name)["Service"]
        return service

    def checks(self, name: str) -> dict[str, dict[str, Any]]:
        """The checks of the only instance, by their id, without the agent's own."""
        listed = self.instance(name)["Checks"]
        return {c["CheckID"]: c for c in listed if c["CheckID"] != "serfHealth"}

    def statuses(self, name: str) -> dict[str, str]:
        return {key: one["Status"] for key, one in self.checks(name).items()}

    @contextmanager
    def watching(
        self, name: str, index: int | None = None, wait: str = LONG, **args: object
    ) -> Iterator[Future[Seen]]:
        """A blocking query that waits already while the body of the `with` acts."""
        since = self.see(name).index if index is None else index
        asked = {"index": since, "wait": wait, **args}
        future = self._threads.submit(self.see, name, **asked)
        time.sleep(0.1)
        yield future
        future.result(timeout=PATIENCE)

    def node(self) -> str:
        name: str = self.get("/v1/agent/self")["Config"]["NodeName"]
        return name
