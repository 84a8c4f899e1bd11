"""Many services over few connections: which are asked again, and when."""

import json
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.fleet import AT_ONCE, Fleet
from lbconsul.errors import UnusableAnswer


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
        #: By node, and there by their ids, what services and indexes it has; None: no
        #: answer.
        self.nodes = dict[str, dict[str, tuple[str, int]] | None]()
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
        if path.startswith("/v1/catalog/node/"):
            return self._node(state)
        if state == "any":
            return succeed(Reply(json.dumps(self.all).encode(), "1"))
        self.waiting[state] = Deferred()
        return self.waiting[state]

    def _node(self, name: str) -> Deferred[Reply]:
        found = self.nodes.get(name, {})
        if found is None:
            return fail(UnusableAnswer("500"))
        services = {
            service_id: {"Service": service, "ModifyIndex": index}
            for service_id, (service, index) in found.items()
        }
        body = json.dumps({"Node": {"Node": name}, "Services": services})
        return succeed(Reply(body.encode(), "1"))

    def answer_nodes(self, **nodes: int) -> None:
        """Answer the query for nodes with these, and the index of each."""
        self.index += 1
        each = [{"Node": node, "ModifyIndex": at} for node, at in nodes.items()]
        self.waiting["nodes"].callback(
            Reply(json.dumps(each).encode(), str(self.index))
        )

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
        self.fleet = Fleet(self.clock, cast(ConsulClient, self.client), lambda: 0.5, "")
        self.fleet.startService()
        for each in services:
            self.add(each)
            self.fleet.place(each, [("n", f"{each}-0")])
        self.client.answer("critical")
        self.client.answer("warning")
        self.client.all = [check("n", each, "passing") for each in services]
        self.fleet.on_registrations()
        self.run(300)
        self.asked.clear()

    def add(self, service: str) -> None:
        """Follow a service."""

        async def ask(client: Any, index: int, address: int) -> str:
            self.asked.append(service)
            if self.held is not None:
                await self.held
            return str(self.client.index)

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
    """All checks are read once to find out of which service it was, from the first
    change on; the others follow in turn.
    """
    services = [f"s{each}" for each in range(60)]
    stage = Stage(*services)
    stage.client.all.pop()
    stage.fleet.on_registrations()
    stage.run(0.5)
    assert "s59" in stage.asked and len(stage.asked) < 20


def test_what_no_list_shows() -> None:
    """All services are asked in turn if nothing else tells what has changed."""
    stage = Stage("a", "b", "c")
    stage.run(5)
    stage.fleet.on_registrations()
    stage.run(5)
    assert sorted(stage.asked) == ["a", "b", "c"]


class Few(Stage):
    """A fleet of services on few nodes, all of which are known."""

    def __init__(self, *services: str) -> None:
        super().__init__(*services)
        self.client.nodes = {"n": {f"{each}-0": (each, 1) for each in services}}
        self.client.answer_nodes(n=1)

    def register(self, service: str, number: int = 0, node: str = "n") -> None:
        """An instance is registered, again or for the first time."""
        self.client.index += 1
        there = self.client.nodes.setdefault(node, {})
        assert there is not None
        there[f"{service}-{number}"] = service, self.client.index

    def found(self) -> list[str]:
        """What is asked for after a change of the list of services."""
        self.asked.clear()
        self.fleet.on_registrations()
        self.run(2)
        return self.asked


def test_an_instance_without_checks() -> None:
    """Of few nodes each shows which service has another port, an instance more, or
    one of several less, though no list has changed.
    """
    stage = Few("a", "b", "c")
    assert stage.found() == []
    stage.register("b")
    assert stage.found() == ["b"]
    stage.register("b", 1)
    assert stage.found() == ["b"]
    stage.fleet.place("b", [("n", "b-0"), ("n", "b-1")])
    assert stage.found() == []
    stage.client.nodes["n"] = {"a-0": ("a", 1), "b-1": ("b", 1), "c-0": ("c", 1)}
    assert stage.found() == ["b"]
    stage.fleet.place("b", ())
    stage.client.nodes["n"] = {"b-2": ("b", 1)}
    assert sorted(stage.found()) == ["a", "c"]


def test_two_changes_at_once() -> None:
    """What the checks show of one service hides nothing of another."""
    services = [f"s{each}" for each in range(60)]
    stage = Few(*services)
    stage.client.answer_nodes(**{f"n{each}": 1 for each in range(40)}, n=1)
    stage.found()
    stage.client.all.pop()
    stage.register("s7")
    assert sorted(stage.found()) == ["s59", "s7"]


def test_nodes_that_change() -> None:
    """A node that leaves, or has another address, has its services asked for; a new
    one is looked at.
    """
    stage = Few("a", "b", "c")
    stage.fleet.place("a", [("m", "a-0")])
    stage.client.nodes["m"] = {"a-0": ("a", 1)}
    stage.client.answer_nodes(n=1, m=1)
    stage.run()
    stage.asked.clear()
    stage.client.answer_nodes(n=1, m=2)
    stage.run()
    assert stage.asked == ["a"]
    stage.client.answer_nodes(m=2)
    stage.run()
    assert sorted(stage.asked) == ["a", "b", "c"]
    stage.register("b", 1, "k")
    stage.client.answer_nodes(m=2, k=3)
    stage.run()
    assert sorted(stage.asked) == ["a", "b", "b", "c"]


def test_a_node_that_cannot_be_looked_at() -> None:
    """All services are asked in turn instead."""
    stage = Few("a", "b", "c")
    stage.client.nodes["n"] = None
    assert sorted(stage.found()) == ["a", "b", "c"]


def test_more_nodes_than_services() -> None:
    """The services are asked in turn, rather than so many nodes."""
    stage = Few("a", "b", "c")
    stage.client.answer_nodes(n=1, m=1, k=1, j=1)
    stage.run()
    assert sorted(stage.found()) == ["a", "b", "c"]


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
