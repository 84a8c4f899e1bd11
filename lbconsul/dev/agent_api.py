"""The paths below `/v1/agent/`: registrations with the agent of this node."""

from collections.abc import Callable
from zlib import crc32

from attrs import frozen

from lbconsul.dev.agent import Agent
from lbconsul.dev.http import Action, ConsulRequest, HTTPError, Routes
from lbconsul.dev.payload import read
from lbconsul.dev.records import Json
from lbconsul.dev.registration import agent_check, agent_service, check_update
from lbconsul.dev.schemas import AGENT_CHECK, AGENT_SERVICE, CHECK_UPDATE


@frozen
class AgentApi:
    """The agent's HTTP API."""

    _agent: Agent
    _seconds: Callable[[], float]

    def routes(self) -> Routes:
        v1 = "/v1/agent/"
        return {
            f"{v1}self": Action("GET", self._self),
            f"{v1}services": Action("GET", self._services),
            f"{v1}checks": Action("GET", self._checks),
            f"{v1}maintenance": Action("PUT", self._maintain_node),
            f"{v1}service/register": Action("PUT", self._register_service),
            f"{v1}service/deregister/": Action("PUT", self._deregister_service),
            f"{v1}service/maintenance/": Action("PUT", self._maintain_service),
            f"{v1}check/register": Action("PUT", self._register_check),
            f"{v1}check/deregister/": Action("PUT", self._deregister_check),
            f"{v1}check/pass/": Action("PUT", self._passing),
            f"{v1}check/warn/": Action("PUT", self._warning),
            f"{v1}check/fail/": Action("PUT", self._critical),
            f"{v1}check/update/": Action("PUT", self._update),
            # The last: it begins as others do.
            f"{v1}service/": Action("GET", self._service),
        }

    def _self(self, asked: ConsulRequest) -> Json:
        node = self._agent.node
        return {
            "Config": {
                "Datacenter": self._agent.catalog.datacenter,
                "NodeName": node.name,
                "NodeID": node.id,
                "Server": True,
                "Revision": "",
                "Version": "1.8.7",
            },
            "Member": {"Name": node.name, "Addr": node.address},
            "Meta": dict(node.meta),
        }

    def _services(self, asked: ConsulRequest) -> Json:
        return {one.id: one.json() for one in self._agent.services.values()}

    def _service(self, asked: ConsulRequest) -> Json:
        service = self._agent.services.get(asked.name)
        if service is None:
            raise HTTPError(404, f"unknown service ID: {asked.name}")
        json = service.json()
        digest = crc32(repr(json).encode())
        return {**json, "ContentHash": f"{digest:016x}"}

    def _checks(self, asked: ConsulRequest) -> Json:
        return {one.id: one.json() for one in self._agent.checks.values()}

    def _maintain_node(self, asked: ConsulRequest) -> None:
        self._agent.maintain_node(_enable(asked), asked.first("reason"))

    def _register_service(self, asked: ConsulRequest) -> None:
        fields = read(asked.body, AGENT_SERVICE)
        service, checks = agent_service(fields, self._agent.node.name)
        replaces = asked.has("replace-existing-checks")
        replace = replaces and asked.first("replace-existing-checks") in ("", "true")
        self._agent.register_service(service, checks, replace, self._seconds())

    def _deregister_service(self, asked: ConsulRequest) -> None:
        self._agent.deregister_service(asked.name)

    def _maintain_service(self, asked: ConsulRequest) -> None:
        if not asked.name:
            raise HTTPError(400, "Missing service ID")
        enable = _enable(asked)
        self._agent.maintain_service(asked.name, enable, asked.first("reason"))

    def _register_check(self, asked: ConsulRequest) -> None:
        wanted = agent_check(read(asked.body, AGENT_CHECK), self._agent.node.name)
        self._agent.register_check(wanted, self._seconds())

    def _deregister_check(self, asked: ConsulRequest) -> None:
        self._agent.deregister_check(asked.name)

    def _passing(self, asked: ConsulRequest) -> None:
        self._report(asked, "passing", asked.first("note"))

    def _warning(self, asked: ConsulRequest) -> None:
        self._report(asked, "warning", asked.first("note"))

    def _critical(self, asked: ConsulRequest) -> None:
        self._report(asked, "critical", asked.first("note"))

    def _update(self, asked: ConsulRequest) -> None:
        self._report(asked, *check_update(read(asked.body, CHECK_UPDATE)))

    def _report(self, asked: ConsulRequest, status: str, output: str) -> None:
        self._agent.update_check(asked.name, status, output, self._seconds())


def _enable(asked: ConsulRequest) -> bool:
    if not asked.has("enable"):
        raise HTTPError(400, "Missing value for enable")
    text = asked.first("enable")
    return asked.truth("enable", f'Invalid value for enable: "{text}"')
