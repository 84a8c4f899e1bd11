"""Listeners that are held back until Consul has answered, with a clock set by hand."""

from typing import Any

import pytest
from attrs import define, evolve, field
from twisted.internet.interfaces import IDelayedCall

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import TLS, Mapping, Timeouts
from lbconsul.proxy.first_answer import FirstAnswer
from lbconsul.proxy.runtime import ProxyRuntime
from tests.support.recording_reactor import RecordingReactor
from tests.support.upstreams import instance

MAPPING = Mapping("web", dc=("dc1", "dc2"), timeouts=Timeouts(connect=4.0))
FIRST, SECOND = ServiceQuery("web", "dc1"), ServiceQuery("web", "dc2")


@define(eq=False)
class FakeListener:
    """A listener that notes whether it accepts."""

    mapping: Mapping = MAPPING
    waiting: IDelayedCall | None = None
    live: None = None
    accepts: bool = False

    def accept(self) -> None:
        self.accepts = True
        self.stop()

    def stop(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and waiting.active():
            waiting.cancel()


@define(eq=False)
class Stage:
    """A registry that tells of its answers, and what waits for them."""

    reactor: RecordingReactor = field(factory=RecordingReactor)
    registry: Registry = field(init=False)
    runtime: ProxyRuntime = field(init=False)
    held: FirstAnswer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.registry = Registry(
            lambda: 0.0, on_change=lambda query, _: self.held.answered(query)
        )
        self.runtime = ProxyRuntime(self.reactor, self.registry)
        self.held = FirstAnswer(self.runtime)

    def begin(self, mapping: Mapping = MAPPING) -> Any:
        """A listener whose turn to accept it is."""
        listener: Any = FakeListener(mapping)
        self.held.begin(listener)
        return listener


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_known(stage: Stage) -> None:
    """Where an upstream is known already, clients are accepted at once."""
    stage.registry.replace(FIRST, [instance("a", 80)])
    listener = stage.begin()
    assert (listener.accepts, listener.waiting) == (True, None)


def test_answered(stage: Stage) -> None:
    """Clients are accepted with the first answer that has an upstream."""
    listener = stage.begin()
    stage.registry.replace(FIRST, [])
    assert not listener.accepts
    stage.registry.replace(SECOND, [instance("a", 80)])
    assert listener.accepts
    assert stage.reactor.getDelayedCalls() == []


def test_answered_without_an_upstream(stage: Stage) -> None:
    """Or with the last one, though none has an upstream."""
    listener = stage.begin()
    stage.registry.replace(SECOND, [])
    assert not listener.accepts
    stage.registry.replace(FIRST, [])
    assert listener.accepts


def test_no_answer(stage: Stage) -> None:
    """Without an answer they are accepted after the connect timeout."""
    listener = stage.begin()
    stage.held.begin(listener)
    stage.reactor.advance(3.9)
    assert not listener.accepts
    stage.reactor.advance(0.2)
    assert listener.accepts
    stage.registry.replace(FIRST, [instance("a", 80)])


def test_names(stage: Stage) -> None:
    """While host names are being resolved, they wait for longer."""
    listener = stage.begin()
    stage.registry.replace(FIRST, [], pending=True)
    stage.reactor.advance(5.0)
    assert not listener.accepts
    stage.registry.replace(FIRST, [instance("a", 80)])
    assert listener.accepts


def test_a_listener_that_stopped_meanwhile(stage: Stage) -> None:
    """A listener that has stopped meanwhile does not accept, and is forgotten."""
    stopped, listener = stage.begin(), stage.begin()
    stopped.stop()
    stage.held.tidy()
    stage.registry.replace(FIRST, [instance("a", 80)])
    assert (stopped.accepts, listener.accepts) == (False, True)


def test_stopped_before_the_answer(stage: Stage) -> None:
    """A stopped listener does not accept when the answer comes."""
    stopped, listener = stage.begin(), stage.begin()
    stopped.stop()
    stage.registry.replace(FIRST, [instance("a", 80)])
    assert (stopped.accepts, listener.accepts) == (False, True)


def test_routes(stage: Stage) -> None:
    """Clients of an address are accepted once the pools of all its routes are known."""
    a, b = (Mapping(name, route=f"{name}.com") for name in "ab")
    listener = stage.begin(Mapping("", routes=(a, b), timeouts=MAPPING.timeouts))
    stage.registry.replace(ServiceQuery("b"), [instance("b", 80)])
    assert not listener.accepts
    stage.registry.replace(ServiceQuery("a"), [], pending=True)
    stage.reactor.advance(MAPPING.timeouts.connect)
    assert not listener.accepts
    stage.registry.replace(ServiceQuery("a"), [])
    assert listener.accepts


def test_certificates(stage: Stage) -> None:
    """However long certificates take, no client is accepted before they are there."""
    mapping = evolve(MAPPING, tls=TLS("consul:certs"))
    stage.registry.replace(FIRST, [instance("a", 80)])
    listener = stage.begin(mapping)
    stage.reactor.advance(10)
    stage.registry.replace(FIRST, [instance("b", 80)])
    assert not listener.accepts
    server: Any = object()
    stage.runtime.acceptors.use(mapping.tls, server)
    stage.held.certificates_loaded()
    assert listener.accepts
    assert stage.reactor.getDelayedCalls() == []
