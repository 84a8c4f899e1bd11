"""What signals ask of a gateway."""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.errors import CannotReload, ConfigError
from lbconsul.process.signals import Signals
from tests.support.binaries import REPOSITORY

CONFIG = evolve(configure([], ["80:web"]), shutdown_grace=7.0)
OTHER = configure([], ["81:web"])


@define(eq=False)
class Reactor:
    """Does what it is asked to do when the test says so."""

    asked: list[Callable[[], object]] = Factory(list)
    stopped: int = 0
    is_running: bool = True

    def callFromThread(self, call: Callable[[], object]) -> None:  # noqa: N802
        self.asked.append(call)

    def callLater(self, seconds: float, call: Callable[[], object]) -> None:
        assert seconds > 0
        self.asked.append(call)

    def turn(self) -> None:
        """Its next turn."""
        asked, self.asked = self.asked, []
        for each in asked:
            each()

    def stop(self) -> None:
        if not self.is_running:
            raise ReactorNotRunning
        self.stopped += 1


@define(eq=False)
class Gateway:
    """Notes what it is to do."""

    config: Config = CONFIG
    graces: list[float] = Factory(list)
    drained: Deferred[None] = Factory(Deferred)
    loaded: list[Config] = Factory(list)
    trouble: Exception | None = None
    #: What a reload waits for.
    takes: Deferred[None] | None = None
    is_settled: bool = True

    def drain(self, grace: float) -> Deferred[None]:
        self.graces.append(grace)
        return self.drained

    def reload_gradually(self, config: Config) -> Deferred[None]:
        self.loaded.append(config)
        if self.trouble is not None:
            raise self.trouble
        return self.takes or succeed(None)


class SignalsTests(SynchronousTestCase):
    """Within the process."""

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor, self.gateway = Reactor(), Gateway()
        self.signals = Signals(self.reactor, self.gateway, lambda: OTHER)
        self.events = self.enterContext(capturedLogs())

    def lines(self) -> list[str]:
        """What was logged, with its level."""
        return [f"{e['log_level'].name}: {formatEvent(e)}" for e in self.events]

    def raise_signal(self, number: int) -> None:
        """The process gets a signal."""
        signal.raise_signal(number)

    def test_sigterm_drains_the_gateway(self) -> None:
        """SIGTERM has the gateway drain, and stops the reactor after that, so that
        the exit status is 0.
        """
        self.signals.end_on_sigterm()
        self.raise_signal(signal.SIGTERM)
        self.assertEqual(self.gateway.graces, [])  # not in the midst of anything
        self.reactor.turn()
        self.assertEqual((self.gateway.graces, self.reactor.stopped), ([7.0], 0))
        self.gateway.drained.callback(None)
        self.assertEqual(self.reactor.stopped, 1)

    def test_interrupted(self) -> None:
        """If the reactor was stopped meanwhile that is no error."""
        self.signals.end_on_sigterm()
        self.raise_signal(signal.SIGTERM)
        self.reactor.turn()
        self.reactor.is_running = False
        self.gateway.drained.callback(None)
        self.assertEqual(self.lines(), [])

    def test_reload_while_taking_over(self) -> None:
        """A SIGHUP that comes before another one's place is taken is obeyed after."""
        self.signals.reload_on_sighup()
        self.gateway.is_settled = False
        for _ in range(3):
            self.raise_signal(signal.SIGHUP)
            self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [])
        self.gateway.is_settled = True
        self.reactor.turn()
        self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [OTHER])

    def test_leave(self) -> None:
        """The process may be let end with another status than twistd's, which is 0."""
        ends: list[tuple[object, ...]] = []
        self.patch(atexit, "register", lambda *call: ends.append(call))
        self.signals.leave(0)
        self.assertEqual((self.reactor.stopped, ends), (1, []))
        self.signals.leave(1)
        self.assertEqual((self.reactor.stopped, len(ends)), (2, 1))
        [(end, *arguments)] = ends
        done: list[object] = []
        self.patch(os, "_exit", done.append)
        self.signals._close_log = lambda: done.append("log")
        end(*arguments)  # type: ignore[operator]
        self.assertEqual(done, ["log", 1])

    def test_reload(self) -> None:
        """SIGHUP has the gateway do what is read then; several at once are one."""
        self.signals.reload_on_sighup()
        for _ in range(3):
            self.raise_signal(signal.SIGHUP)
        self.assertEqual(self.gateway.loaded, [])
        self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [OTHER])
        self.raise_signal(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [OTHER, OTHER])
        self.assertEqual(self.lines(), [])

    def test_during_a_reload(self) -> None:
        """A SIGHUP during a reload is carried out after that."""
        told: list[str] = []

        def read() -> Config:
            if not told:
                told.append("again")
                self.raise_signal(signal.SIGHUP)
                self.raise_signal(signal.SIGHUP)
            return OTHER

        self.signals = Signals(self.reactor, self.gateway, read)
        self.signals.reload_on_sighup()
        self.raise_signal(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [OTHER])
        self.reactor.turn()
        self.assertEqual((self.gateway.loaded, self.reactor.asked), ([OTHER] * 2, []))

    def test_while_it_takes_long(self) -> None:
        """
        A SIGHUP while the file is read, or while it is applied, is carried out once
        that is done.
        """
        reading = Deferred[Config]()
        self.signals = Signals(self.reactor, self.gateway, lambda: reading)
        self.signals.reload_on_sighup()
        self.gateway.takes = Deferred()
        for _ in range(2):
            self.raise_signal(signal.SIGHUP)
            self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [])
        reading.callback(OTHER)
        reading = Deferred()
        for _ in range(3):
            self.reactor.turn()
        self.assertEqual(self.gateway.loaded, [OTHER])
        self.gateway.takes.callback(None)
        self.reactor.turn()
        reading.callback(CONFIG)
        self.assertEqual(self.gateway.loaded, [OTHER, CONFIG])

    def test_a_failed_reload_is_logged(self) -> None:
        """A failed reload is one error line, an ignored SIGHUP one info line."""
        for trouble, said in (
            (
                ConfigError("port 0 is none"),
                "error: not reloaded: port 0 is none; the old configuration stays",
            ),
            (CannotReload("it ends"), "info: SIGHUP ignored: it ends"),
        ):
            self.gateway.trouble = trouble
            self.signals._reload()
            self.assertEqual(self.lines()[-1], said)
        self.assertEqual(len(self.events), 2)

    def test_a_bug_in_a_reload_is_logged(self) -> None:
        """A bug in lbconsul ends nothing, and is logged."""
        self.gateway.trouble = RuntimeError("a bug")
        self.signals._reload()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIs(self.events[0]["log_level"], LogLevel.critical)


#: A gateway that gets SIGTERM twice, and does not end by itself.
STUBBORN = """
import os, signal
from twisted.internet.defer import Deferred, succeed
from lbconsul.process.signals import Signals

class Reactor:
    def callFromThread(self, call):
        call()

class Gateway:
    class config:
        shutdown_grace = 0.0

    def drain(self, grace):
        print("draining", flush=True)
        return Deferred()

Signals(Reactor(), Gateway(), None).end_on_sigterm()
os.kill(os.getpid(), signal.SIGTERM)
print("still here", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
print("immortal", flush=True)
"""


@pytest.mark.process
def test_ends_at_once() -> None:
    """A second SIGTERM ends us at once, however busy the reactor is."""
    ran = subprocess.run(
        [sys.executable, "-c", STUBBORN],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == ["draining", "still here"]
    assert ran.returncode == 1


LEAVING = """
import sys
from lbconsul.process.signals import Signals

class Reactor:
    def stop(self):
        print("stopping", flush=True)

Signals(Reactor(), None, None).leave(int(sys.argv[1]))
"""


@pytest.mark.process
@pytest.mark.parametrize("status", [0, 1])
def test_leave(status: int) -> None:
    """A gateway that is done with it all has the reactor stop, and exits so."""
    ran = subprocess.run(
        [sys.executable, "-c", LEAVING, str(status)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.stdout, ran.returncode) == ("stopping\n", status)
