"""A registrar and the agent of the dev catalog, in memory; the test moves the time."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import Factory, define, evolve
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from lbconsul.config.build import configure
from lbconsul.config.consul import ConsulAddress
from lbconsul.consul.agent_services import AgentServices
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.http import bounded_http
from lbconsul.consul.registrar import LEAVE_WITHIN, Registrar
from lbconsul.consul.registration import Registration, registration
from lbconsul.dev.agent import Agent
from lbconsul.dev.api import Api
from lbconsul.dev.catalog import Catalog
from lbconsul.errors import Forbidden


@define(eq=False)
class Line:
    """The way to the agent, which the test may cut."""

    inner: RequestTraversalAgent
    #: What each request fails with; None: nothing.
    error: Exception | None = None
    #: Whether there is no answer.
    is_silent: bool = False
    asked: list[tuple[str, str]] = Factory(list)

    def request(self, method: bytes, uri: bytes, *args: Any) -> Deferred[Any]:
        path = uri.decode().partition("/v1/agent/")[2]
        self.asked.append((method.decode(), path))
        if self.is_silent:
            return Deferred()
        if self.error is not None:
            return fail(self.error)
        answered: Deferred[Any] = self.inner.request(method, uri, *args)
        return answered


class Stage:
    """A registrar, its agent, and what it logs."""

    def __init__(self, *names: str, agent: Agent | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.agent = agent or Agent(Catalog())
        inner = RequestTraversalAgent(Api(self.clock, agent=self.agent))
        self.line = Line(inner)
        site = ConsulAddress("http", "127.0.0.1", 8500)
        client = ConsulClient(self.clock, ((site, bounded_http(self.line)),))  # type: ignore[arg-type]
        self.why_not = ""
        self.may_begin = True
        self.new: list[Registration] = []
        self.registrar = Registrar(
            self.clock,
            AgentServices(client),
            lambda: 0.5,
            lambda: self.why_not,
            lambda: self.may_begin,
            self.new.append,
        )
        self.events: list[Any] = []
        self.want(*names)

    def want(self, *names: str) -> None:
        """Register port 80 under these names."""
        self.registrar.replace(map(wanted, names))

    def start(self) -> None:
        self.registrar.startService()
        self.wait(1.0)

    def wait(self, seconds: float) -> None:
        """Let time pass, and bytes flow."""
        with capturedLogs() as events:
            for _ in range(round(seconds / 0.25)):
                self.clock.advance(0.25)
                self.flow()
        self.events += events

    def flow(self) -> None:
        for _ in range(40):
            self.line.inner.flush()

    def statuses(self) -> dict[str, str]:
        """The status of each check, by the service's name."""
        checks = self.agent.checks.values()
        return {each.service_name: each.status for each in checks}

    def states(self) -> list[str]:
        return [each.state.value for each in self.registrar.keepers()]

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        """The lines of the registrar at a level, which are new."""
        own = [
            formatEvent(each)
            for each in self.events
            if each["log_level"] is level and "lbconsul.consul" in each["log_namespace"]
        ]
        self.events.clear()
        return own

    def leave(self) -> Deferred[None]:
        with capturedLogs() as events:
            left = self.registrar.leave()
            self.flow()
        self.events += events
        return left


def wanted(name: str) -> Registration:
    """The registration of port 80 as a service."""
    [mapping] = configure(mappings=[f"80:web,register={name}"]).mappings
    return registration(mapping, "0.0.0.0", 80)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A registrar of one service, which is started."""
    made = Stage("edge")
    made.start()
    yield made
    made.registrar.stopService()


def test_registers(stage: Stage) -> None:
    """It registers, and reports for as long as it runs: once for each third of the
    TTL, with one request to look whether all is as it was."""
    assert stage.statuses() == {"edge": "passing"}
    assert stage.lines() == [
        "edge at port 80 of the agent's address: registered in Consul at"
        " http://127.0.0.1:8500, passing"
    ]
    assert stage.new == [wanted("edge")]
    assert stage.line.asked == [
        ("GET", "service/lbconsul-edge-80"),
        ("PUT", "service/register"),
        ("PUT", "check/update/service%3Albconsul-edge-80"),
    ]
    stage.line.asked.clear()
    stage.wait(60.0)
    assert len(stage.line.asked) == 2 * 12
    assert stage.statuses() == {"edge": "passing"}
    assert stage.lines() == []
    stage.registrar.stopService()
    stage.line.asked.clear()
    stage.wait(60.0)
    assert stage.line.asked == []
    assert stage.statuses() == {"edge": "critical"}


def test_readiness(stage: Stage) -> None:
    """It is critical half a second after the gateway is not ready any more."""
    stage.why_not = "80:web: not listening yet"
    stage.wait(0.5)
    assert stage.statuses() == {"edge": "critical"}
    assert stage.agent.checks["service:lbconsul-edge-80"].output == stage.why_not
    assert stage.lines()[-1].endswith("critical in Consul: 80:web: not listening yet")
    stage.why_not = ""
    stage.wait(0.5)
    assert stage.statuses() == {"edge": "passing"}
    assert stage.lines()[-1].endswith("passing in Consul: the gateway is ready")


def test_forgotten(stage: Stage) -> None:
    """What is lost, or changed by others, is registered again."""
    for lose in (
        lambda: stage.agent.deregister_service("lbconsul-edge-80"),
        lambda: stage.agent.deregister_check("service:lbconsul-edge-80"),
        lambda: stage.agent.services.update(
            {"lbconsul-edge-80": changed(stage, tags=("odd",))}
        ),
    ):
        stage.lines()
        lose()
        stage.wait(5.5)
        assert stage.statuses() == {"edge": "passing"}
        assert stage.agent.services["lbconsul-edge-80"].tags == ()
        [line] = stage.lines()
        assert "registered in Consul again: the agent had lost or changed it" in line


def changed(stage: Stage, **fields: Any) -> Any:
    """The service as the agent has it, with other fields."""
    return evolve(stage.agent.services["lbconsul-edge-80"], **fields)


def test_away(stage: Stage) -> None:
    """While the agent is away one line says so; for several registrations one request
    finds out. A kept connection that has ended is no failure."""
    stage.want("edge", "lb", "www")
    stage.wait(1.0)
    stage.lines()
    stage.line.asked.clear()
    stage.line.error = ConnectionRefusedError()
    stage.wait(20.0)
    assert stage.states() == ["unconfirmed"] * 3
    [line] = stage.lines(LogLevel.warn)
    assert line.startswith("edge at port 80 of the agent's address, lb at ")
    assert "not reported to Consul at http://127.0.0.1:8500: Connection was ref" in line
    assert line.endswith("for 15s it is critical; trying again")
    assert len(stage.line.asked) < 25
    stage.line.error = None
    stage.wait(5.0)
    assert stage.statuses() == dict.fromkeys(("edge", "lb", "www"), "passing")
    assert {each.partition(": ")[2] for each in stage.lines()} == {
        "the agent at http://127.0.0.1:8500 takes reports again"
    }


def test_kept_connection(stage: Stage) -> None:
    """A request whose kept connection has ended is sent once more."""
    stage.lines()
    stage.line.error = ResponseNeverReceived([Failure(ConnectionDone())])
    asked = stage.registrar._agent.look("x")
    error = Deferred.fromCoroutine(asked)
    error.addErrback(lambda why: why.trap(ResponseNeverReceived))
    assert [path for _, path in stage.line.asked[-2:]] == ["service/x"] * 2


def test_refused() -> None:
    """A refusal is told once, with the right that the token lacks; others go on."""
    stage = Stage("edge")
    stage.line.error = Forbidden("403: Permission denied")
    stage.start()
    stage.wait(30.0)
    [line] = stage.lines(LogLevel.warn)
    assert line.endswith(
        "not registered in Consul at http://127.0.0.1:8500: 403: Permission denied; the"
        " token needs service:write for edge; trying again"
    )
    assert stage.states() == ["waiting"]
    stage.line.error = None
    stage.wait(5.0)
    assert stage.states() == ["passing"]
    stage.agent.deregister_check("service:lbconsul-edge-80")
    stage.line.error = RuntimeError("odd")
    stage.wait(6.0)
    assert "a bug in lbconsul" in " ".join(map(formatEvent, stage.events))
    stage.registrar.stopService()


def test_taken() -> None:
    """What belongs to another stays as it is, and is told once."""
    stage = Stage("edge")
    foreign = json.dumps({"ID": "lbconsul-edge-80", "Name": "db"}).encode()
    told = stage.registrar._agent.client.agent("PUT", "service/register", foreign)
    stage.flow()
    assert told.called
    stage.start()
    stage.wait(20.0)
    [line] = stage.lines(LogLevel.error)
    assert "the agent has a service db with the id lbconsul-edge-80, which no" in line
    assert stage.agent.services["lbconsul-edge-80"].name == "db"
    assert stage.states() == ["taken"]
    assert stage.leave().called
    assert stage.agent.services["lbconsul-edge-80"].name == "db"


def test_two_gateways(stage: Stage) -> None:
    """The gateway that starts later has a registration that two claim; the other one
    does not take it out at its end."""
    other = Stage("edge", agent=stage.agent)
    other.registrar.gateway = "other"
    other.start()
    stage.wait(6.0)
    assert "another gateway has registered itself" in stage.lines(LogLevel.error)[0]
    assert stage.leave().called
    other.wait(6.0)
    assert stage.statuses() == {"edge": "passing"}
    assert other.leave().called
    assert stage.statuses() == {}


def test_leave(stage: Stage) -> None:
    """It is deregistered before a drain goes on, and not registered again."""
    first, second = stage.leave(), stage.leave()
    assert first.called
    assert second.called
    assert stage.agent.services == {}
    assert stage.states() == ["left"]
    assert stage.lines()[-1].endswith("deregistered from Consul")
    stage.wait(20.0)
    assert stage.agent.services == {}


def test_leave_without_an_answer(stage: Stage) -> None:
    """An agent that does not answer holds a drain up for two seconds only."""
    stage.want("edge", "lb")
    stage.wait(1.0)
    stage.line.is_silent = True
    left, again = stage.leave(), stage.leave()
    stage.wait(LEAVE_WITHIN - 0.25)
    assert (left.called, again.called) == (False, False)
    stage.wait(0.25)
    assert (left.called, again.called) == (True, True)
    said = stage.lines(LogLevel.warn)
    assert "takes it for critical within 15s, and removes it after 600s" in said[0]
    assert stage.states() == ["left", "left"]


def test_leave_with_an_error(stage: Stage) -> None:
    """What cannot be deregistered is told, with what becomes of it."""
    stage.line.error = ConnectionRefusedError()
    assert stage.leave().called
    [line] = stage.lines(LogLevel.warn)
    assert "not deregistered from Consul at http://127.0.0.1:8500: Connection" in line


def test_leave_during_a_round() -> None:
    """A registration that is on its way is waited for, and taken out."""
    stage = Stage("edge")
    stage.registrar.startService()
    stage.clock.advance(0.5)
    left = stage.leave()
    assert left.called
    assert stage.agent.services == {}
    stage.registrar.stopService()


def test_stopped_during_a_round() -> None:
    """A gateway that stops gives up what it asks."""
    stage = Stage("edge")
    stage.line.is_silent = True
    stage.start()
    stage.registrar.stopService()
    stage.wait(6.0)
    assert stage.lines(LogLevel.warn) == []
    assert not stage.registrar._lock.locked


def test_nothing_to_register() -> None:
    """A gateway without registrations asks nothing, and leaves at once."""
    stage = Stage()
    stage.start()
    stage.wait(5.0)
    assert stage.line.asked == []
    assert stage.clock.getDelayedCalls() == []
    assert stage.leave().called


def test_reload(stage: Stage) -> None:
    """What is not wanted any more is taken out; what is wanted twice is there once."""
    stage.want("lb", "lb")
    stage.wait(1.0)
    assert stage.statuses() == {"lb": "passing"}
    assert stage.lines()[-1] == "lbconsul-edge-80: deregistered from Consul"
    stage.want()
    stage.line.error = ConnectionRefusedError()
    stage.wait(1.0)
    [line] = stage.lines(LogLevel.warn)
    assert line.endswith("Consul takes it for critical soon, and removes it later")


def test_another_agent(stage: Stage) -> None:
    """With another agent the registrations move there; with another token they stay."""
    stage.registrar.use_client(evolve(stage.registrar._agent.client))
    stage.wait(6.0)
    assert stage.states() == ["passing"]
    assert set(stage.agent.services) == {"lbconsul-edge-80"}
    other = Stage()
    client = other.registrar._agent.client
    [(_, http)] = client._sites
    site = ConsulAddress("http", "10.0.0.9", 8500)
    stage.lines()
    stage.registrar.use_client(evolve(client, sites=((site, http),)))
    for _ in range(8):
        stage.wait(0.25)
        other.flow()
    assert stage.states() == ["passing"]
    assert stage.agent.services == {}
    assert set(other.agent.services) == {"lbconsul-edge-80"}
    [line] = stage.lines()
    assert line.endswith("registered in Consul at http://10.0.0.9:8500, passing")


def test_takeover(stage: Stage) -> None:
    """A successor begins when the predecessor has ended, keeps what both serve, and
    takes out the rest; the predecessor takes out nothing."""
    stage.want("edge", "old")
    stage.wait(1.0)
    heir = Stage(agent=stage.agent)
    heir.registrar.inherit(json.loads(json.dumps(dict(stage.registrar.state()))))
    heir.want("edge")
    heir.may_begin = False
    heir.start()
    assert heir.line.asked == []
    stage.registrar.hand_over()
    assert stage.states() == ["left", "left"]
    assert stage.leave().called
    heir.may_begin = True
    heir.wait(1.0)
    assert heir.statuses() == {"edge": "passing"}
    stage.wait(20.0)
    heir.wait(20.0)
    assert heir.states() == ["passing"]
    assert heir.lines(LogLevel.error) == []
    heir.registrar.stopService()


@pytest.mark.parametrize(
    "state", [None, 1, {}, {"gateway": "", "ids": []}, {"gateway": "a", "ids": 1}]
)
def test_odd_inheritance(state: object) -> None:
    """A predecessor of an older version says nothing of registrations."""
    stage = Stage("edge")
    before = stage.registrar.gateway
    stage.registrar.inherit(state)
    assert stage.registrar.gateway == before
