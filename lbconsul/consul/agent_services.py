"""Requests to an agent about its own services and their checks.

https://developer.hashicorp.com/consul/api-docs/agent/service
"""

from urllib.parse import quote

from attrs import define

from lbconsul.consul.client import ConsulClient
from lbconsul.consul.query_loop import is_unanswered
from lbconsul.consul.registration import Found, Registration, parse, report
from lbconsul.errors import NotFound


@define(eq=False)
class AgentServices:
    """The services of the agent at the first of a client's addresses.

    Each method fails as `ConsulClient.agent` does.
    """

    client: ConsulClient

    @property
    def where(self) -> str:
        """The address of the agent, as text."""
        return self.client.where(0)

    async def look(self, service_id: str) -> Found | None:
        """The service with this id; None if there is none."""
        try:
            return parse(await self._send("GET", f"service/{_quoted(service_id)}"))
        except NotFound:
            return None

    async def register(
        self, wanted: Registration, gateway: str, *, is_ready: bool
    ) -> None:
        """Register a service, or change it; its check keeps its status."""
        body = wanted.request(gateway, is_ready=is_ready)
        await self._send("PUT", "service/register", body)

    async def report(self, wanted: Registration, why_not: str) -> None:
        """Report why the gateway is not ready; empty if it is."""
        path = f"check/update/{_quoted(wanted.check)}"
        await self._send("PUT", path, report(why_not))

    async def deregister(self, service_id: str) -> None:
        """Deregister a service with its checks."""
        await self._send("PUT", f"service/deregister/{_quoted(service_id)}")

    async def _send(self, method: str, path: str, body: bytes = b"") -> bytes:
        try:
            return await self.client.agent(method, path, body)
        except Exception as error:
            # The agent may have closed the kept connection; all requests may be
            # repeated.
            if not is_unanswered(error):
                raise
        return await self.client.agent(method, path, body)


def _quoted(service_id: str) -> str:
    return quote(service_id, safe="")
