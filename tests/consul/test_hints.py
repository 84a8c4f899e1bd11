"""Hints: what an operator may have meant by a name that Consul does not know."""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.consul.hints import MAX_AGE, Hints
from lbconsul.errors import UnusableAnswer
from tests.support.fake_answers import FakeAnswers

SERVICES, DATACENTERS = "/v1/catalog/services", "/v1/catalog/datacenters"


class Asking:
    """Hints of a Consul that has these services, and these datacenters."""

    def __init__(self, services: object, datacenters: object = ("dc1",)) -> None:
        self.clock = Clock()
        self.answers = FakeAnswers()
        self.answers.pages[SERVICES, ""] = services
        self.answers.pages[DATACENTERS, ""] = list(datacenters)  # type: ignore[call-overload]
        self.hints = Hints(self.clock, self.answers.page)

    def result(self, asking: Coroutine[Any, Any, str]) -> str:
        """What comes of it, however many turns of the reactor it takes."""
        done: list[str] = []
        Deferred.fromCoroutine(asking).addCallback(done.append)
        for _ in range(1000):
            if done:
                break
            self.clock.advance(0)
        return done[0]

    def service(self, name: str, **of: Any) -> str:
        """The hint about a service that Consul shows no instance of."""
        return self.result(self.hints.about_service(ServiceQuery(name, **of)))


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("wbe", "did you mean web?"),
        ("grahpite", "did you mean graphite?"),
        ("graph", "did you mean graphite?"),
        ("mail", "did you mean mailer?"),
        ("zzz", "there are graphite, mailer, web"),
    ],
)
def test_misspelt(said: str, hint: str) -> None:
    """
    The hint about an unknown service names the likely one, or those that exist;
    Consul's own is never meant.
    """
    services = {"consul": [], "web": ["v1"], "graphite": [], "mailer": []}
    found = Asking(services).service(said)
    assert found == f"Consul has no service {said}; {hint}"


def test_nothing_but_consul() -> None:
    """Where there is no other service the hint names Consul's own."""
    assert Asking({"consul": []}).service("web").endswith("there are consul")


def test_it_is_there() -> None:
    """A service that Consul lists is not misspelt: its filter, or an ACL, hides it."""
    asking = Asking({"web": []})
    assert "shows no instance of it" in asking.service("web")
    assert "kept by its filter" in asking.service("web", filter="Service.Port == 1")


@pytest.mark.parametrize(
    "services",
    [
        UnusableAnswer("403: Permission denied"),
        TimeoutError(),
        {},
        b"no JSON",
        b"3",
        b"[1, null]",
        b"[" * 100_000,
    ],
)
def test_no_hint(services: object) -> None:
    """A missing or odd answer of Consul costs the hint and nothing else."""
    assert Asking(services).service("web") == "Consul shows no service web"


def test_datacenter() -> None:
    """The hint about an unknown datacenter names the likely one."""
    asking = Asking({}, ["east", "west"])
    about = asking.hints.about_datacenter
    assert asking.result(about(ServiceQuery("web", "wset"))) == (
        "Consul has no datacenter wset; did you mean west?"
    )
    assert asking.result(about(ServiceQuery("web", "west"))) == (
        "Consul has no datacenter west"
    )


def test_other_datacenter() -> None:
    """Names are those of the datacenter that is asked."""
    asking = Asking({"web": []})
    asking.answers.pages[SERVICES, "west"] = {"shop": []}
    assert asking.service("shpo", datacenter="west") == (
        "Consul has no service shpo in datacenter west; did you mean shop?"
    )


def test_asked_seldom() -> None:
    """Of many mappings at once Consul is asked once, and again when that is old."""
    asking = Asking({"web": []})
    for number in range(100):
        asking.service(f"wbe{number}")
    assert len(asking.answers.asked) == 1
    asking.clock.advance(MAX_AGE)
    asking.service("wbe")
    assert len(asking.answers.asked) == 2


def test_one_at_a_time() -> None:
    """Consul never has two such requests to answer."""
    asking = Asking({})
    asking.answers.waiting = []
    for name in ("one", "two"):
        query = ServiceQuery("web", name)
        Deferred.fromCoroutine(asking.hints.about_service(query))
    assert asking.answers.asked == [(SERVICES, "one")]
    asking.answers.waiting[0].callback(b"{}")
    assert asking.answers.asked == [(SERVICES, "one"), (SERVICES, "two")]


def test_thousands_of_services() -> None:
    """The reactor is not held while thousands of names are compared."""
    names = [f"service-{number:04}" for number in range(5000)]
    asking = Asking(dict.fromkeys([*names, "invoices"]))
    done: list[str] = []
    asked = Deferred.fromCoroutine(asking.hints.about_service(ServiceQuery("invocies")))
    asked.addCallback(done.append)
    turns = 0
    while not done:
        turns += 1
        [call] = asking.clock.calls
        asking.clock.calls.remove(call)
        call.func(*call.args)
    assert done[0].endswith("did you mean invoices?")
    assert turns >= 20


def test_hostile_names() -> None:
    """A name cannot break the line or make it endless."""
    hint = Asking({"web\n[error] x": [], "y" * 100_000: []}).service("zzz")
    assert "\n" not in hint
    assert len(hint) < 200
