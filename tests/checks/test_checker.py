"""The checker: what it begins, and what it learns."""

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from lbconsul.balance.instance import Instance
from lbconsul.balance.own_checks import CheckKey
from lbconsul.checks import checker as module
from lbconsul.checks.checker import EVERY, MOST_AT_ONCE, Checker, Target
from lbconsul.config.build import configure
from lbconsul.config.check_spec import CheckSpec
from tests.support.instances import an_instance


class FakeAttempt:
    """A check whose result the test gives."""

    made: list["FakeAttempt"]

    def __init__(
        self, poller: Any, means: Any, instance: Instance, address: str, on_done: Any
    ) -> None:
        self.means, self.instance, self.address = means, instance, address
        self.on_done = on_done
        self.is_cancelled = False
        self.made.append(self)

    def begin(self) -> None:
        """Nothing yet."""

    def time_out(self, text: str) -> None:
        """It takes too long."""
        self.on_done(False, f"no answer in {text}")

    def cancel(self) -> None:
        """It is given up."""
        self.is_cancelled = True


class FakePoller:
    """Polls nothing."""

    def stop(self) -> None:
        """Nothing to stop."""


class Stage:
    """A checker, its clock, and what it does."""

    def __init__(self, options: str = "check=/health", rate: float = 400.0) -> None:
        (mapping,) = configure(mappings=[f"80:web,{options}"]).mappings
        spec = CheckSpec.of(mapping)
        assert spec is not None
        self.spec = spec
        self.clock = Clock()
        self.turned: list[tuple[str, bool | None, bool | None]] = []
        self.attempts = FakeAttempt.made = []
        self.chance = 0.5
        self.checker = Checker(
            self.clock, lambda: self.chance, self._on_turned, rate=rate
        )

    def _on_turned(self, target: Target, before: bool | None) -> None:
        name = target.key.identity.service_id
        self.turned.append((name, before, target.state.is_up))

    def add(self, *names: str, is_up: bool | None = None, **of: Any) -> list[Target]:
        """Have instances checked."""
        made = [evolve(an_instance(name), **of) for name in names]
        return [
            self.checker.add(CheckKey.of(self.spec, each), self.spec, each, is_up)
            for each in made
        ]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / EVERY)):
            self.clock.advance(EVERY)

    def answer(self, passed: bool | None, text: str = "200") -> None:
        """The result of the last check."""
        self.attempts[-1].on_done(passed, text)

    def seconds_to_next(self) -> float:
        """How long it takes until the next check begins."""
        count, begun = len(self.attempts), self.clock.seconds()
        while len(self.attempts) == count:
            self.clock.advance(EVERY)
        return self.clock.seconds() - begun


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks are made up."""
    monkeypatch.setattr(module, "CheckAttempt", FakeAttempt)
    monkeypatch.setattr(module, "open_poller", lambda reactor: FakePoller())


def test_new_instance_is_checked_at_once() -> None:
    """And again after an interval, the second time at a random moment within it."""
    stage = Stage()
    stage.checker.start()
    stage.checker.start()  # it has begun
    (target,) = stage.add("a")
    assert stage.seconds_to_next() <= EVERY
    stage.answer(True)
    assert stage.turned == [("a", None, True)]
    assert (target.result, target.reason) == ("GET /health: 200", "")
    assert stage.seconds_to_next() == pytest.approx(5.0, abs=2 * EVERY)
    stage.answer(True)
    assert stage.seconds_to_next() == pytest.approx(10.0, abs=2 * EVERY)
    assert stage.checker.done == 2


def test_failures_are_repeated_soon() -> None:
    """While the results contradict the state, checks come more often; the reason is
    that of the failure that turned it.
    """
    stage = Stage()
    stage.checker.start()
    (target,) = stage.add("a", is_up=True)
    stage.seconds_to_next()
    stage.answer(False, "503")
    for _ in range(2):
        assert stage.seconds_to_next() == pytest.approx(2.0, abs=2 * EVERY)
        stage.answer(False, "500")
    assert stage.turned == [("a", True, False)]
    assert target.reason == "own check: GET /health: 500"
    assert (target.failures, stage.checker.failing) == (3, 1)
    assert stage.seconds_to_next() == pytest.approx(10.0, abs=2 * EVERY)


def test_timeout() -> None:
    """A check that takes too long has failed."""
    stage = Stage("check=tcp,check-timeout=500ms")
    stage.checker.start()
    (target,) = stage.add("a")
    stage.advance(0.7)
    assert target.reason == "own check: connect: no answer in 0.5 s"
    assert stage.checker.under_way == 0


def test_several_addresses() -> None:
    """An instance fails once all its addresses have; one that passes is the first to be
    asked the next time.
    """
    stage = Stage()
    stage.checker.start()
    addresses = {"address": "192.0.2.1", "alternates": ("192.0.2.2", "192.0.2.3")}
    (target,) = stage.add("a", is_up=True, **addresses)
    stage.seconds_to_next()
    stage.answer(False, "refused")
    assert stage.attempts[-1].address == "192.0.2.2"
    stage.answer(True)
    assert target.failures == 0
    stage.seconds_to_next()
    for address in ("192.0.2.2", "192.0.2.3", "192.0.2.1"):
        assert stage.attempts[-1].address == address
        stage.answer(False, "refused")
    assert target.failures == 1


def test_check_that_shows_nothing() -> None:
    """It counts neither way, and is repeated soon."""
    stage = Stage()
    stage.checker.start()
    (target,) = stage.add("a")
    stage.seconds_to_next()
    stage.answer(None, "Too many open files")
    assert (target.state.is_up, stage.turned) == (None, [])
    assert stage.seconds_to_next() == pytest.approx(1.0, abs=2 * EVERY)


def test_bounds() -> None:
    """No more begin in a second, and no more are under way, than may be."""
    stage = Stage(rate=100.0)
    stage.checker.start()
    stage.add(*(f"web-{number}" for number in range(2000)))
    stage.advance(1.0)
    assert 100 <= len(stage.attempts) <= 210
    stage.checker.use_rate(100_000.0)
    stage.advance(0.5)
    assert stage.checker.under_way == MOST_AT_ONCE
    assert stage.checker.late == pytest.approx(1.5, abs=0.2)
    assert len(stage.checker) == 2000


def test_removed() -> None:
    """What is removed is checked no more; its check under way is given up."""
    stage = Stage()
    stage.checker.start()
    one, other = stage.add("a", "b")
    stage.seconds_to_next()
    stage.checker.remove(one.key)
    assert stage.attempts[0].is_cancelled
    assert stage.checker.find(one.key) is None
    assert [*stage.checker] == [other]
    stage.checker.stop()
    assert stage.attempts[1].is_cancelled
    stage.checker.stop()
    assert not stage.clock.getDelayedCalls()


def test_means_are_made_once_for_each_check() -> None:
    """Files of certificates are read once; what is not in use any more is forgotten."""
    stage = Stage("check=tcp,upstream-tls=on,upstream-verify=off,send-proxy=v2")
    stage.checker.start()
    stage.add("a", "b")
    stage.seconds_to_next()
    one, other = stage.attempts
    assert one.means is other.means
    assert one.means.connector is not None
    assert one.means.header.startswith(b"\r\n\r\n\0\r\nQUIT\n\x20")
    stage.checker.keep_means([])
    stage.add("c")
    stage.seconds_to_next()
    assert stage.attempts[-1].means is not one.means
