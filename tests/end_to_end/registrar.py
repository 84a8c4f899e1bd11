"""Registers web servers in Consul, and takes them out again."""

from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from tests.support.consul_agent import ConsulAgent

#: A check whose status the test sets: `Registrar.check`.
TOLD = {"TTL": "1h", "Status": "passing"}


class Server(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str:
        """Its name, which is part of the service id."""

    @property
    def host(self) -> str:
        """The address where it listens."""

    @property
    def port(self) -> int:
        """Its port there."""


class Place(NamedTuple):
    """Where some server listens, or none."""

    name: str
    port: int
    host: str = "127.0.0.1"


class Registrar:
    """Whatever it registered is gone after `clean_up`."""

    def __init__(self, agent: ConsulAgent) -> None:
        self._agent = agent
        self._ids: set[str] = set()
        self._nodes: set[str] = set()

    def add(self, service: str, server: Server, **said: Any) -> str:
        """Register with the agent, as Consul's users do; the service id."""
        address = {"Address": server.host, "Port": server.port}
        own = {"ID": f"{service}-{server.name}", "Name": service, **address}
        body = {**own, **said}
        self.put("agent/service/register", body)
        self._ids.add(body["ID"])
        return str(body["ID"])

    def remove(self, service_id: str) -> None:
        """Deregister from the agent."""
        self.put(f"agent/service/deregister/{service_id}")
        self._ids.discard(service_id)

    def maintain(self, service_id: str, on: bool) -> None:
        """Service maintenance begins or is over."""
        flag = "true" if on else "false"
        path = f"agent/service/maintenance/{service_id}?enable={flag}"
        self.put(path + "&reason=spring+cleaning")

    def maintain_node(self, on: bool) -> None:
        """Maintenance of the agent's own node begins or is over."""
        self.put(f"agent/maintenance?enable={'true' if on else 'false'}")

    def check(self, service_id: str, verdict: str) -> None:
        """``pass``, ``warn`` or ``fail`` the check that was registered as `TOLD`."""
        self.put(f"agent/check/{verdict}/service:{service_id}?note=as+told")

    def add_elsewhere(
        self, node: str, service: str, server: Server, **said: Any
    ) -> None:
        """Register on another node, right in the catalog."""
        address = {"Address": server.host, "Port": server.port}
        own = {"ID": service, "Service": service, **address}
        place = {"Node": node, "Address": "127.0.0.1"}
        checks = said.pop("Checks", [])
        self.put("catalog/register", {**place, "Service": own | said, "Checks": checks})
        self._nodes.add(node)

    def remove_node(self, node: str) -> None:
        """Deregister the node of `add_elsewhere` with all that is on it."""
        self.put("catalog/deregister", {"Node": node})
        self._nodes.discard(node)

    def put_key(self, key: str, text: str) -> None:
        """Set a key of Consul's store, or delete it if the text is empty."""
        if text:
            self._agent.api("PUT", f"/v1/kv/{key}", text.encode())
        else:
            self._agent.api("DELETE", f"/v1/kv/{key}")

    def put(self, path: str, body: object = None) -> None:
        """One change, which Consul must accept."""
        status, _, said = self._agent.api("PUT", f"/v1/{path}", body)
        assert status == 200, f"Consul says {status} to {path}: {said}"

    def clean_up(self) -> None:
        """Take out what is still in."""
        for service_id in tuple(self._ids):
            with suppress(AssertionError):  # a test may have taken it out itself
                self.remove(service_id)
        for node in tuple(self._nodes):
            self.remove_node(node)
