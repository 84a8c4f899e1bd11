"""What an operator orders of upstreams, and for how long that holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from lbconsul.balance.events import EventKind, UpstreamEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.errors import CannotOrder
from lbconsul.gateway import operations as module
from lbconsul.gateway.drain_file import DrainFile
from lbconsul.gateway.operations import Operations
from tests.support.events import EventRecorder
from tests.support.instances import an_identity, an_instance

WEB = ServiceQuery("web")
A, B = an_identity("a"), an_identity("b")


@define(eq=False)
class FakeDataPlane:
    """Serves alone."""

    registry: Registry

    def set_drained(self, drained: Mapping[Identity, int]) -> None:
        self.registry.set_drained(drained)


class Operated:
    """A gateway that an operator gives orders to."""

    def __init__(
        self, state_dir: str = "", inherited: Mapping[Identity, int] | None = None
    ) -> None:
        self.observer = EventRecorder()
        self.noted = self.observer.events
        self.busy = ""
        self.registry = Registry(
            lambda: 0.0,
            on_reregistered=lambda instances: self.operations.on_reregistered(
                instances
            ),
        )
        self.registry.pool(PoolSpec(WEB))
        self.operations = Operations(
            Clock(),
            cast(Any, FakeDataPlane(self.registry)),
            self.observer,
            lambda: self.busy,
        )
        self.operations.begin(state_dir, inherited)
        self.operations.startService()

    def answer(self, *instances: Instance) -> None:
        """Consul answers."""
        self.registry.replace(WEB, instances)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written at once."""

    def file(reactor: object, path: Path) -> DrainFile:
        def run(function: Any) -> Deferred[None]:
            done: Deferred[None] = Deferred()
            function()
            done.callback(None)
            return done

        return DrainFile(reactor, path, run=run)

    monkeypatch.setattr(module, "DrainFile", file)


def test_drained_and_undrained() -> None:
    """The order belongs to the registration that is there; both are noted."""
    told = Operated()
    told.answer(an_instance("a", created=10))
    assert told.operations.drain(A)
    assert told.registry.drained == {A: 10}
    assert list(told.operations.drained()) == [(A, True)]
    assert told.operations.undrain(A)
    assert told.registry.drained == {}
    assert told.noted == [
        UpstreamEvent(kind=kind, instance=A, reason="by hand")
        for kind in (EventKind.DRAINED, EventKind.UNDRAINED)
    ]


def test_an_unknown_upstream() -> None:
    """An unknown upstream cannot be drained or undrained."""
    told = Operated()
    assert not told.operations.drain(A)
    assert not told.operations.undrain(A)
    told.answer(an_instance("a"))
    assert told.operations.undrain(A)  # it is as it was wanted
    assert told.noted == []


def test_a_drained_instance_that_is_gone() -> None:
    """A drained instance that is gone is still shown, and can be undrained."""
    told = Operated()
    told.answer(an_instance("a", created=10))
    told.operations.drain(A)
    told.answer()
    assert list(told.operations.drained()) == [(A, False)]
    assert told.operations.drain(A)
    assert told.operations.undrain(A)
    assert list(told.operations.drained()) == []
    assert not told.operations.undrain(A)


def test_registered_anew(tmp_path: Path) -> None:
    """A new registration ends the drain for ever, and the log says so."""
    told = Operated(str(tmp_path))
    told.answer(an_instance("a", created=10))
    told.operations.drain(A)
    again = an_instance("a", created=11)
    with capturedLogs() as said:
        told.answer(again)
    assert told.registry.drained == {}
    assert told.noted[-1] == UpstreamEvent(
        kind=EventKind.UNDRAINED, instance=again, reason="registered again"
    )
    assert [(each["kind"], each["instance"]) for each in said] == [
        ("undrained", str(again))
    ]
    assert Operated(str(tmp_path)).registry.drained == {}


def test_a_drain_survives_a_restart(tmp_path: Path) -> None:
    """With a state directory it is drained after a restart, before Consul answers."""
    told = Operated(str(tmp_path))
    told.answer(an_instance("a", created=10), an_instance("b", created=11))
    told.operations.drain(A)
    told.operations.drain(B)
    told.operations.undrain(B)
    again = Operated(str(tmp_path))
    assert again.registry.drained == {A: 10}
    assert again.operations.kept == "until it is undrained or registered again"
    assert list(again.operations.drained()) == [(A, False)]


def test_without_a_state_directory() -> None:
    """The log says once that a restart loses the drain, and so does each answer."""
    told = Operated()
    told.answer(an_instance("a"), an_instance("b"))
    with capturedLogs() as events:
        told.operations.drain(A)
        told.operations.drain(B)
    [warned] = [each for each in events if each["log_level"] is LogLevel.warn]
    assert "--state-dir keeps it longer" in formatEvent(warned)
    assert "--state-dir" in told.operations.kept


def test_state_directory_by_reload(tmp_path: Path) -> None:
    """A reload that sets a state directory stores the drains there."""
    told = Operated()
    told.answer(an_instance("a", created=10))
    told.operations.drain(A)
    told.operations.use_state_dir(str(tmp_path))
    assert Operated(str(tmp_path)).registry.drained == {A: 10}
    told.operations.use_state_dir("")
    told.operations.undrain(A)
    assert Operated(str(tmp_path)).registry.drained == {A: 10}


def test_takeover(tmp_path: Path) -> None:
    """The predecessor's drains count, even if there are none, and are stored."""
    told = Operated(str(tmp_path))
    told.answer(an_instance("a", created=10))
    told.operations.drain(A)
    assert Operated(str(tmp_path), {B: 5}).registry.drained == {B: 5}
    assert Operated(str(tmp_path)).registry.drained == {B: 5}
    assert Operated(str(tmp_path), {}).registry.drained == {}
    assert Operated(str(tmp_path)).registry.drained == {}


def test_during_a_takeover() -> None:
    """An order that the next gateway would not know of is refused."""
    told = Operated()
    told.answer(an_instance("a"))
    told.busy = "another gateway is taking over"
    with pytest.raises(CannotOrder, match="another gateway is taking over"):
        told.operations.drain(A)
    assert told.registry.drained == {}
    told.busy = ""
    told.operations.drain(A)
    told.busy = "another gateway is taking over"
    with pytest.raises(CannotOrder):
        told.operations.undrain(A)
    assert told.registry.drained == {A: 0}


def test_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The number of drains is bounded: the earliest one whose registration is gone is
    forgotten for the next; where all exist no more can be drained.
    """
    monkeypatch.setattr(module, "MOST", 2)
    told = Operated()
    many = [an_instance(name, created=1) for name in "abc"]
    told.answer(*many)
    told.operations.drain(A)
    told.operations.drain(B)
    told.operations.drain(A)
    with pytest.raises(CannotOrder, match="2 upstreams are already drained"):
        told.operations.drain(an_identity("c"))
    told.answer(*many[1:])
    told.operations.drain(an_identity("c"))
    assert list(told.registry.drained) == [B, an_identity("c")]


def test_long_id() -> None:
    """An upstream whose id is too long to store is not drained."""
    told = Operated()
    told.answer(an_instance("x" * 256))
    with pytest.raises(CannotOrder, match="more than 255 characters"):
        told.operations.drain(an_identity("x" * 256))


def test_stop_with_or_without_a_file() -> None:
    """The service stops with or without a file."""
    assert Operated().operations.stopService().called
