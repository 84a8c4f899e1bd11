"""Many services over few connections: which are asked again, and when."""

import json
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.fleet import AT_ONCE, Fleet


def check(node: str, service: str, status: str, number: int = 0) -> dict[str, str]:
    """A check as Consul writes it; without a service it is the node's."""
    return {
        "Node": node,
        "CheckID": f"check-{service}-{number}",
        "Status": status,
        "ServiceName": service,
        "ServiceID": f"{service}-{number}" if service else "",
    }


class FakeClient:
    """A client whose blocking queries the test answers."""

    addresses = 1

    def __init__(self) -> None:
        self.waiting = dict[str, Deferred[Reply]]()
        self.all = list[dict[str, str]]()
        self.index = 1

    def where(self, address: int) -> str:
        return "consul"

    def ask_list(
        self,
        path: str,
        datacenter: str,
        index: int,
        address: int,
        *,
        stale: bool = True,
    ) -> Deferred[Reply]:
        state = path.rpartition("/")[2]
        if state == "any":
            return succeed(Reply(json.dumps(self.all).encode(), "1"))
        self.waiting[state] = Deferred()
        return self.waiting[state]

    def answer(self, state: str, *checks: dict[str, str]) -> None:
        """Answer the query for checks with this state."""
        self.index += 1
        body = json.dumps(checks).encode()
        self.waiting[state].callback(Reply(body, str(self.index)))


class Stage:
    """A fleet of services on one node."""

    def __init__(self, *services: str) -> None:
        self.clock, self.client = Clock(), FakeClient()
        self.asked = list[str]()
        self.held: Deferred[None] | None = None
        self.fleet = Fleet(
            self.clock, cast(ConsulClient, self.client), lambda: 0.5, "",
            lambda node: services,
        )  # fmt: skip
        self.fleet.startService()
        for each in services:
            self.add(each)
        self.client.answer("critical")
        self.client.answer("warning")
        self.client.all = [check("n", each, "passing") for each in services]
        self.fleet.on_registrations()
        self.run(300)
        self.asked.clear()

    def add(self, service: str) -> None:
        """Follow a service."""

        async def ask(client: Any, index: int, address: int) -> None:
            self.asked.append(service)
            if self.held is not None:
                await self.held

        self.fleet.loop(service, ask, lambda _: None, lambda *_: None).start()

    def run(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.clock.pump([0.05] * round(seconds / 0.05))


def test_a_check_turns_critical() -> None:
    """Its service alone is asked for; if it is the node's check all services there."""
    stage = Stage("a", "b", "c")
    stage.client.answer("critical", check("n", "b", "critical"))
    stage.run()
    assert stage.asked == ["b"]
    stage.client.answer("critical", check("n", "", "critical"))
    stage.run()
    assert sorted(stage.asked) == ["a", "b", "b", "c"]
    assert stage.fleet.confirmed is not None


def test_an_instance_is_deregistered() -> None:
    """All checks are read once to find out of which service it was."""
    stage = Stage("a", "b", "c")
    stage.client.all.pop()
    stage.fleet.on_registrations()
    stage.run(2)
    assert stage.asked == ["c"]


def test_what_no_list_shows() -> None:
    """All services are asked in turn if nothing else tells what has changed."""
    stage = Stage("a", "b", "c")
    stage.run(5)
    stage.fleet.on_registrations()
    stage.run(5)
    assert sorted(stage.asked) == ["a", "b", "c"]


def test_few_at_a_time() -> None:
    """However many have changed, a bounded number is asked at a time."""
    services = [f"s{each}" for each in range(50)]
    stage = Stage(*services)
    stage.held = Deferred()
    stage.fleet.ask(services)
    stage.run()
    assert len(stage.asked) == AT_ONCE
    stage.held.callback(None)
    stage.run(5)
    assert sorted(stage.asked) == sorted(services)


def test_another_consul() -> None:
    """Another Consul is asked for everything; a stopped fleet asks no more."""
    stage = Stage("a", "b")
    newer = FakeClient()
    stage.fleet.use_client(cast(ConsulClient, newer))
    stage.run()
    assert sorted(stage.asked) == ["a", "b"]
    stage.fleet.stopService()
    stage.fleet.ask(["a"])
    stage.run()
    assert len(stage.asked) == 2
