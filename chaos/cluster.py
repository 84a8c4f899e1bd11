"""Three Consul servers that elect a leader among them."""

import time
from types import TracebackType
from typing import Self

from chaos.scene import consul_binary
from tests.support.consul_agent import ConsulAgent
from tests.support.waiting import eventually

#: Where they speak to each other.
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


class Cluster:
    """As a context manager it has a leader."""

    def __init__(self) -> None:
        self.agents = [
            ConsulAgent(
                consul_binary(),
                persistent=True,
                expect=len(HOSTS),
                extra_config={"node_name": f"server-{host[-1]}", "bind_addr": host},
            )
            for host in HOSTS
        ]

    def __enter__(self) -> Self:
        try:
            for each in self.agents:
                each.start()
            eventually(lambda: all(map(_listens, self.agents)), "the servers listen")
            for host, each in zip(HOSTS[1:], self.agents[1:], strict=True):
                place = f"{host}:{each.gossip_port}"
                self.agents[0].api("PUT", f"/v1/agent/join/{place}")
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all of them."""
        for each in self.agents:
            each.close()

    def wait_until_ready(self) -> None:
        """Return once they have a leader, and each of them is well."""
        for each in self.agents:
            each.wait_until_ready()

    def leader(self) -> ConsulAgent:
        """The one that leads."""
        end = time.monotonic() + 30.0
        while time.monotonic() < end:
            _, _, address = self.agents[0].api("GET", "/v1/status/leader")
            for host, each in zip(HOSTS, self.agents, strict=True):
                if isinstance(address, str) and address.startswith(f"{host}:"):
                    return each
            time.sleep(0.05)
        raise RuntimeError("nobody leads")


def _listens(agent: ConsulAgent) -> bool:
    try:
        return agent.api("GET", "/v1/agent/self")[0] == 200
    except OSError:
        return False
