"""The services whose tags are routes, from Consul's answers to the rows served."""

import json
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbconsul import configure
from lbconsul.balance.events import EventKind
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.fleet import Fleet
from lbconsul.consul.tagged_services import SERVICES
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.gateway.tag_routes import MOST_BLOCKING, TagRoutes
from lbconsul.gateway.watches import Watches
from lbconsul.proxy.live_routes import RowChanges
from tests.gateway.test_tag_mapping import instance


class FakeClient:
    """A client whose queries the test answers."""

    addresses, fingerprint = 1, "first"

    def __init__(self) -> None:
        self.waiting: Deferred[Reply] = Deferred()
        self.index = 0

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
        if path != SERVICES:
            return Deferred()
        self.waiting = Deferred()
        return self.waiting

    def answer(self, **services: list[str]) -> None:
        """Consul lists these services with their tags."""
        self.index += 1
        body = json.dumps({"consul": [], **services}).encode()
        self.waiting.callback(Reply(body, str(self.index)))


class Stage:
    """A gateway's parts round the routes; it is its data plane and its watches, too."""

    blocking = 0

    def __init__(self) -> None:
        self.clock, self.client = Clock(), FakeClient()
        self.registry = Registry(lambda: 0.5, seconds=self.clock.seconds)
        self.asked, self.events = list[str](), list[Any]()
        self.refreshed = list[str]()
        self.rows, self.changes = dict[str, str](), list[RowChanges]()
        self.routes = TagRoutes(
            self.clock,
            cast(ConsulClient, self.client),
            lambda: 0.5,
            cast(Watches, self),
            cast(DataPlane, self),
            self,
        )
        self.routes.startService()
        self.routes.add(configure(mappings=["80:@tags,mode=http"]).mappings[0])
        self.run()

    def run(self) -> None:
        """Let all that is due happen."""
        self.clock.pump([0.01] * 10)

    def instances(self, service: str, *found: Any) -> None:
        """Consul has these instances of a service."""
        self.registry.replace(ServiceQuery(service), found)
        self.routes.on_change(ServiceQuery(service))
        self.run()

    # As watches, data plane and observer.

    def ask(self, queries: Any, fleet: Fleet | None = None) -> None:
        self.asked += [each.service for each in queries]
        if fleet is not None:
            for each in queries:
                self._refresh(each.service, fleet)

    def _refresh(self, service: str, fleet: Fleet) -> None:
        async def ask(*_: object) -> None:
            self.refreshed.append(service)

        fleet.loop(service, ask, lambda _: None, lambda *_: None).start()

    def list_snapshot(self, name: str, datacenter: str) -> None:
        """Nowhere."""

    def leave(self, queries: Any) -> list[ServiceQuery]:
        for each in queries:
            self.asked.remove(each.service)
        return list(queries)

    def forget(self, queries: Any) -> None:
        """Nothing."""

    def keep_answers(self, asked: Any) -> None:
        """Nothing."""

    def amend(self, changes: RowChanges) -> None:
        self.changes.append(changes)
        for each in changes.drop:
            del self.rows[each]
        self.rows.update({row.route: row.service for row in changes.put})

    def on_event(self, event: Any) -> None:
        self.events.append(event)


def test_from_the_list_to_the_rows() -> None:
    """Listed services are asked for, and their tags are rows; then all is known."""
    stage = Stage()
    stage.client.answer(a=["urlprefix-/a"], b=["v1"], c=["urlprefix-/c"])
    stage.run()
    assert stage.asked == ["a", "c"]
    stage.instances("a", instance("a1", "urlprefix-/a"))
    assert list(stage.rows.values()) == ["a"]
    [mapping] = stage.routes.all()
    assert not stage.routes.is_known(mapping.mapping)
    stage.instances("c", instance("c1", "urlprefix-/c weight=much"))
    assert stage.routes.is_known(mapping.mapping)
    assert stage.changes[-1].is_complete
    [event] = stage.events
    assert event.kind is EventKind.BAD_TAG and "weight=much" in event.reason
    assert "c1" in event.reason
    stage.instances("c", instance("c1", "urlprefix-/c weight=0.5"))
    assert stage.events[-1].kind is EventKind.GOOD_TAG


def test_many_first_answers_take_a_while() -> None:
    """Routes are not all known while further services have their first answers; one
    that Consul does not answer ends the wait.
    """
    stage = Stage()
    stage.client.answer(**{each: [f"urlprefix-/{each}"] for each in "abc"})
    stage.run()
    [mapping] = stage.routes.all()
    for each in "ab":
        stage.clock.pump([1.0] * 9)
        stage.instances(each, instance(f"{each}1", f"urlprefix-/{each}"))
        assert not stage.routes.is_known(mapping.mapping)
    stage.clock.pump([1.0] * 9)
    assert not stage.routes.is_known(mapping.mapping)
    stage.clock.pump([1.0] * 2)
    assert stage.routes.is_known(mapping.mapping)


def test_a_service_that_is_gone() -> None:
    """It is asked for until it has no instance, and its route is held for a while."""
    stage = Stage()
    stage.client.answer(a=["urlprefix-/a"])
    stage.run()
    stage.instances("a", instance("a1", "urlprefix-/a"))
    stage.client.answer(b=[])
    stage.run()
    assert stage.asked == ["a"]
    stage.instances("a")
    stage.clock.pump([1.0] * 3)
    assert stage.asked == [] and list(stage.rows.values()) == ["a"]
    stage.clock.pump([1.0] * 310)
    assert not stage.rows


def test_what_is_not_answered() -> None:
    """A service of which Consul says nothing does not hold up the others for ever."""
    stage = Stage()
    stage.client.answer(a=["urlprefix-/a"], c=["urlprefix-/c"])
    stage.run()
    stage.instances("a", instance("a1", "urlprefix-/a"))
    [mapping] = stage.routes.all()
    was_complete = mapping.is_complete
    stage.clock.pump([1.0] * 12)
    assert (was_complete, mapping.is_complete) == (False, True)
    stage.routes.replace([])
    assert not stage.routes.all()


def test_many_problems() -> None:
    """Of many wrong tags the first are told of, and how many more there are."""
    stage = Stage()
    stage.client.answer(a=["urlprefix-/a"])
    stage.run()
    bad = [instance(f"a{each}", f"urlprefix-/{each}x weight=x") for each in range(50)]
    stage.instances("a", *bad)
    assert len(stage.events) == 21
    assert stage.events[-1].reason == "30 more: lbconsul routes shows them"
    rows = {row.route: row for row in stage.routes.rows}
    assert stage.routes.why_closed(rows["/7x"]) == (
        "closed, requests get 503: weight=x must be a number, such as 0.1"
    )
    stage.instances("a")
    assert len(stage.events) == 42
    # The routes are held for a while, and closed still.
    assert stage.routes.why_closed(rows["/7x"]) == (
        "closed, requests get 503: no instance is registered"
    )
    stage.clock.pump([1.0] * 310)
    assert stage.routes.why_closed(rows["/7x"]) == ""


def test_many_services() -> None:
    """Beyond the blocking queries those are asked for that the list shows to be gone,
    to be back, or to have other tags; all of them if Consul has lost its state.
    """
    stage = Stage()
    stage.blocking = MOST_BLOCKING
    tags = {each: [f"urlprefix-/{each}"] for each in "abc"}
    stage.client.answer(**tags)
    stage.run()
    stage.run()
    assert sorted(stage.refreshed) == ["a", "b", "c"]
    other = tags | {"a": ["urlprefix-/a", "v2"]}
    for listed, named in [
        (other, {"a"}),
        ({"a": other["a"]}, {"b", "c"}),
        (other, {"b", "c"}),
    ]:
        stage.refreshed.clear()
        stage.client.answer(**listed)
        stage.run()
        assert set(stage.refreshed[: len(named)]) == named
    stage.refreshed.clear()
    for _ in range(2):  # it is asked once more whether that is so
        stage.client.index = 0
        stage.client.answer(**other)
        stage.run()
    assert sorted(stage.refreshed[:3]) == ["a", "b", "c"]
