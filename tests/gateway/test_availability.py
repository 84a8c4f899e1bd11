"""Which mappings have had an instance, and what the operator learns of the others."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping, rows
from lbconsul.gateway.availability import NAMED, PAUSE, SOON, Availability, is_answered
from lbconsul.proxy.targets import failover_spec
from tests.support.events import EventRecorder
from tests.support.fake_answers import FakeAnswers
from tests.support.instances import an_identity, an_instance

WEB = ServiceQuery("web")


class Told:
    """A gateway with these mappings, its log and its events."""

    def __init__(self, *mappings: str) -> None:
        self.clock = Clock()
        self.registry = Registry(lambda: 0.0, seconds=self.clock.seconds)
        self.answers = FakeAnswers()
        self.answers.pages["/v1/catalog/services", ""] = {"web": [], "shop": []}
        self.observer = EventRecorder()
        self.noted = self.observer.events
        self.availability = Availability(
            self.clock,
            self.registry,
            self.answers,
            self.observer,
        )
        self.mappings = self.mapped(*mappings)
        for each in self.mappings:
            self.availability.add(each)
        self.availability.startService()

    def mapped(self, *mappings: str) -> tuple[Mapping, ...]:
        """Mappings and routes that are written so, with their pools."""
        given = [each for each in mappings if "=" not in each.partition(",")[0]]
        routes = [each for each in mappings if each not in given]
        made = tuple(rows(configure(mappings=given, routes=routes).mappings))
        for each in made:
            self.registry.failover(failover_spec(each))
        return made

    def reload(self, *mappings: str) -> None:
        """Serve just these from now on."""
        self.mappings = self.mapped(*mappings)
        for _ in self.availability.replacing(self.mappings):
            pass

    def answer(self, query: ServiceQuery, *instances: Instance) -> None:
        """Consul answers."""
        self.registry.replace(query, instances)
        self.availability.look(query)

    def fail(self, query: ServiceQuery, error: str) -> None:
        """Consul fails to answer."""
        self.answers.errors[query] = error
        self.availability.look(query)

    def lines(self, level: LogLevel = LogLevel.warn) -> list[str]:
        """What the log has to say within the next moments."""
        with capturedLogs() as events:
            for _ in range(10):
                self.clock.advance(SOON / 5)
        return [formatEvent(each) for each in events if each["log_level"] is level]

    def blocks(self) -> list[str]:
        """Why the gateway is not ready."""
        reasons = [self.availability.blocks(each) for each in self.mappings]
        return [each for each in reasons if each]


def test_misspelt() -> None:
    """
    A misspelt service is logged loudly, once, with a hint and the consequences for
    clients and readiness.
    """
    told = Told("80:shpo")
    assert told.blocks() == ["no answer from Consul yet"]
    told.answer(ServiceQuery("shpo"))
    assert told.lines() == [
        "80:shpo: no usable instance yet: Consul has no service shpo; did you mean"
        " shop? - its clients are closed at once, and /readyz is 503 unless"
        " allow-empty=on"
    ]
    assert told.blocks() == [
        "no usable instance yet: Consul has no service shpo; did you mean shop?"
    ]
    assert [each.kind.value for each in told.noted] == ["empty"]
    told.answer(ServiceQuery("shpo"))
    told.clock.advance(PAUSE)
    assert told.lines() == []


def test_an_instance_comes() -> None:
    """
    With the first instance the gateway is ready; if the lack was logged, so is its end.
    """
    told = Told("80:web")
    told.answer(WEB)
    told.lines()
    told.answer(WEB, an_instance())
    assert (told.blocks(), told.availability.why(told.mappings[0])) == ([], "")
    assert [each.kind.value for each in told.noted] == ["empty", "available"]


def test_an_instance_comes_at_once() -> None:
    """An instance that is registered while a gateway starts causes no warning."""
    told = Told("80:web")
    told.answer(WEB)
    told.answer(WEB, an_instance())
    assert (told.lines(), told.noted) == ([], [])


def test_scaled_to_zero() -> None:
    """A service that has lost its instances keeps the gateway ready; why it is empty
    can be seen.
    """
    told = Told("80:web", "81:shop")
    told.answer(WEB, an_instance())
    told.answer(WEB)
    told.answer(ServiceQuery("shop"), an_instance(status="critical"))
    assert told.blocks() == [
        "no usable instance yet: 1 instance, none usable: 1 critical"
    ]
    told.answer(ServiceQuery("shop"), an_instance())
    assert told.blocks() == []
    list(told.registry.tick())
    told.clock.advance(60)
    list(told.registry.tick())
    assert told.availability.why(told.mappings[0]) == "Consul shows no instance of web"


def test_allowed() -> None:
    """A mapping that may be empty does not block, once Consul has said that it is."""
    told = Told("80:web,allow-empty=on")
    assert told.blocks() == ["no answer from Consul yet"]
    told.answer(WEB)
    assert told.blocks() == []
    assert told.lines() == []
    told = Told("80:web,allow-empty=on")
    told.answer(WEB)
    assert "its clients are closed at once" in told.lines(LogLevel.info)[0]


@pytest.mark.parametrize(
    ("option", "consequence"),
    [
        ("", "its clients are closed at once"),
        (",when-empty=wait=5s", "its clients wait for 5 s and are closed"),
        (",when-empty=fallback=sorry", "sorry serves its clients"),
    ],
)
def test_consequence(option: str, consequence: str) -> None:
    """The log says what happens to clients."""
    told = Told(f"80:web{option}")
    told.answer(WEB)
    assert f" - {consequence}" in told.lines()[0]


@pytest.mark.parametrize(
    ("option", "instance", "why"),
    [
        ("tag=v2", an_instance(tags=["v1"]), "none has tag v2; tags: v1"),
        ("health=passing", an_instance(status="warning"), "1 warning; health=passing"),
        ("", an_instance(status="maintenance"), "1 in maintenance"),
    ],
)
def test_options_leave_nothing(option: str, instance: Instance, why: str) -> None:
    """
    If an option excludes the instances the log names the option, and Consul is not
    asked for other names.
    """
    told = Told(f"80:web,{option}" if option else "80:web")
    told.answer(WEB, instance)
    assert why in told.lines()[0]
    assert told.answers.asked == []


def test_sidecars_only() -> None:
    """Registrations that are no backends are logged with the reason."""
    told = Told("80:web")
    told.answers.left_out[WEB] = ["a@n 192.0.2.1:0: its kind is connect-proxy"]
    told.answer(WEB)
    assert "1 instance, none usable: a@n 192.0.2.1:0: its kind is" in told.lines()[0]


def test_unknown_datacenter() -> None:
    """
    An unknown datacenter is logged with the likely one; other failures have their own
    line.
    """
    told = Told("80:web,dc=est", "81:web")
    told.answers.pages["/v1/catalog/datacenters", ""] = ["east", "west"]
    told.fail(ServiceQuery("web", "est"), "500: No path to datacenter")
    told.fail(WEB, "Connection was refused")
    [line] = told.lines()
    assert "80:web: no usable instance yet: Consul has no datacenter est; did" in line
    assert told.blocks()[1] == "no answer from Consul yet"
    told.fail(WEB, "403: Permission denied")
    assert told.blocks()[1] == "no answer from Consul yet: 403: Permission denied"


def test_several_datacenters() -> None:
    """Of several datacenters one with an instance is enough; else each says why."""
    told = Told("80:web,dc=a|b")
    told.answer(ServiceQuery("web", "a"))
    assert told.lines() == []
    told.answer(ServiceQuery("web", "b"), an_instance(status="critical"))
    [line] = told.lines()
    assert "Consul shows no service web in datacenter a; 1 instance, none us" in line
    told.answer(ServiceQuery("web", "b"), an_instance())
    assert told.blocks() == []


def test_drained_by_hand() -> None:
    """An instance that an operator has drained is one: the service is not misspelt."""
    told = Told("80:web")
    told.registry.set_drained({an_identity("a"): 0})
    told.answer(WEB, an_instance("a"))
    assert told.blocks() == []
    assert "1 drained by hand" in told.availability.why(told.mappings[0])


class TestReload:
    """What a reload brings."""

    def test_warns(self) -> None:
        """
        A mapping that a reload turns to a service without instances is logged loudly,
        but a serving gateway stays ready.
        """
        told = Told("80:web")
        told.answer(WEB, an_instance())
        told.reload("80:wbe")
        assert told.blocks() == []
        told.answer(ServiceQuery("wbe"))
        [line] = told.lines()
        assert line == (
            "80:wbe: no usable instance since the reload: Consul has no service wbe;"
            " did you mean web? - its clients are closed at once"
        )
        assert told.blocks() == []

    def test_known_before(self) -> None:
        """It is logged though Consul has answered the query already."""
        told = Told("80:web", "81:shop,allow-empty=on")
        told.answer(WEB, an_instance())
        told.answer(ServiceQuery("shop"))
        told.lines()
        told.clock.advance(PAUSE)
        told.reload("80:shop", "81:web")
        assert len(told.lines()) == 1

    def test_something_else(self) -> None:
        """A mapping that is scaled to zero has had its instances: what else of it a
        reload alters is no cause to warn.
        """
        told = Told("80:web")
        told.answer(WEB, an_instance())
        told.answer(WEB)
        told.reload("81:web,attempts=5,eject-after=0")
        assert told.lines() == []

    def test_mended(self) -> None:
        """A typo that is mended is forgotten, and the gateway is ready."""
        told = Told("80:web", "81:shpo")
        told.answer(WEB, an_instance())
        told.answer(ServiceQuery("shpo"))
        told.lines()
        assert len(told.blocks()) == 1
        told.reload("80:web")
        assert told.blocks() == []
        assert told.availability.was_complete

    def test_not_ready_before(self) -> None:
        """
        A mapping that a reload adds to a gateway that was never ready must have an
        instance, too.
        """
        told = Told("80:wbe")
        told.answer(ServiceQuery("wbe"))
        told.reload("80:shop")
        assert told.blocks() == ["no answer from Consul yet"]
        told.answer(ServiceQuery("shop"), an_instance())
        assert told.blocks() == []


def test_very_many() -> None:
    """Of 2,000 empty mappings some are named and the rest is counted; Consul is asked
    for its services once.
    """
    told = Told(*(f"{port}:s{port}" for port in range(10_000, 12_000)))
    for each in told.mappings:
        told.answer(ServiceQuery(each.service))
    lines = told.lines()
    assert len(lines) == NAMED + 1
    assert lines[-1].startswith("1980 more mappings have no usable instance, among")
    assert len(told.answers.asked) == 1
    assert len(told.blocks()) == 2000


def test_consul_does_not_say() -> None:
    """Where Consul names no services the line has no hint."""
    told = Told("80:wbe")
    told.answers.pages.clear()
    told.answer(ServiceQuery("wbe"))
    assert "yet: Consul shows no service wbe - its clients" in told.lines()[0]


def test_a_stop_in_the_middle() -> None:
    """An end in the middle leaves nothing behind."""
    told = Told("80:wbe", "81:web")
    told.answers.waiting = []
    told.answer(ServiceQuery("wbe"))
    told.lines()
    told.availability.stopService()
    assert told.clock.getDelayedCalls() == []
    told.answer(WEB)
    assert told.clock.getDelayedCalls() == []


def test_served_otherwise_meanwhile() -> None:
    """A mapping that was removed before Consul has named its services is not logged."""
    told = Told("80:wbe")
    told.answers.waiting = []
    told.answer(ServiceQuery("wbe"))
    told.lines()
    told.reload("80:web")
    told.answers.waiting[0].callback(b'{"web": []}')
    assert told.lines() == []


def test_routes() -> None:
    """
    Each route needs an instance of its own; a mapping without a service needs none.
    """
    told = Told("443:-,mode=sni", "443:a.com=web", "443:b.com=shop")
    assert told.blocks() == ["no answer from Consul yet"] * 2
    own, *_ = told.mappings
    assert is_answered(told.registry, own, wholly=False)
    assert told.availability.why(own) == ""
    told.answer(WEB, an_instance())
    told.answer(ServiceQuery("shop"))
    [line] = told.lines()
    assert line.startswith("443:b.com=shop: no usable instance yet: ")
    told.answer(ServiceQuery("shop"), an_instance())
    assert told.blocks() == []
    assert told.availability.was_complete
    told.reload("443:-,mode=sni", "443:a.com=web")
    assert told.availability.was_complete
