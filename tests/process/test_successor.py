"""What becomes of SIGUSR2."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.process.successor import Successors, command_again

CONFIG = evolve(configure([], ["80:web"]), takeover="/run/lb.sock")


@define(eq=False)
class Reactor(Clock):
    """Notes what it is to start, and says that it has."""

    started: list[tuple[Any, ...]] = Factory(list)
    trouble: OSError | None = None

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def callFromThread(self, call: Any) -> None:  # noqa: N802
        call()

    def spawnProcess(  # noqa: N802
        self, protocol: Any, program: str, command: list[str], **keywords: Any
    ) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.started.append((protocol, program, command, keywords))

    def started_as(self, said: bytes) -> None:
        """What was started last says this, and ends."""
        protocol = self.started[-1][0]
        for each in (said[:2], said[2:]):
            protocol.childDataReceived(3, each)
        protocol.processEnded(Failure(ProcessDone(0)))


@define(eq=False)
class Gateway:
    """A gateway that can be taken over from."""

    config: Config = CONFIG
    is_settled: bool = True
    is_draining: bool = False


class SuccessorsTests(SynchronousTestCase):
    """Within the process."""

    def setUp(self) -> None:
        number = signal.SIGUSR2
        self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor, self.gateway = Reactor(), Gateway()
        self.successors = Successors(self.reactor, self.gateway)
        self.events = self.enterContext(capturedLogs())
        self.seen = 0
        self.running = {4711}
        self.patch(os, "kill", self.see)

        self.others: set[int] = set()

    def see(self, process: int, number: int) -> None:
        """Stands for os.kill."""
        self.assertEqual(number, 0)
        if process in self.others:
            raise PermissionError
        if process not in self.running:
            raise ProcessLookupError

    def lines(self) -> list[str]:
        """What was logged since the last call."""
        lines = [formatEvent(each) for each in self.events[self.seen :]]
        self.seen = len(self.events)
        return lines

    def test_starts(self) -> None:
        """On SIGUSR2 the same command starts once more, in the same service."""
        self.patch(sys, "orig_argv", ["python3", "-m", "lbconsul", "80:web"])
        environ = {
            "NOTIFY_SOCKET": "/run/notify",
            "WATCHDOG_PID": "1",
            "LISTEN_FDS": "1",
        }
        self.patch(os, "environ", environ)
        self.successors.start_on_sigusr2()
        signal.raise_signal(signal.SIGUSR2)
        [(_, program, command, keywords)] = self.reactor.started
        self.assertEqual((program, command[0]), (sys.executable, sys.executable))
        self.assertEqual(command[-4:], sys.orig_argv)
        self.assertEqual(keywords["env"], {"NOTIFY_SOCKET": "/run/notify"})
        self.assertEqual(keywords["childFDs"], {0: 0, 1: 1, 2: 2, 3: "r"})
        self.reactor.started_as(b"4711")
        self.assertEqual(self.lines(), ["SIGUSR2: process 4711 is to take over"])
        self.gateway.is_draining = True  # it was replaced
        self.reactor.advance(10)
        self.assertEqual((self.lines(), self.reactor.getDelayedCalls()), ([], []))

    def test_one_at_a_time(self) -> None:
        """While one is about to take over no other is started; then another may be."""
        self.successors.start()
        self.successors.start()
        self.assertRegex(
            self.lines()[-1], r"to take over: process another is about to$"
        )
        self.reactor.started_as(b"4711")
        self.successors.start()
        self.assertRegex(self.lines()[-1], r"to take over: process 4711 is about to$")
        self.reactor.advance(1)
        self.assertEqual(self.lines(), [])
        self.running.clear()
        self.reactor.advance(1)
        self.assertEqual(
            self.lines(),
            [
                "process 4711, which was to take over, has ended: this gateway goes on",
            ],
        )
        self.successors.start()
        self.assertEqual(len(self.reactor.started), 2)

    def test_number_of_another(self) -> None:
        """A successor has ended, too, if another user's process has its number."""
        self.successors.start()
        self.reactor.started_as(b"4711")
        self.others.add(4711)
        self.reactor.advance(1)
        self.assertRegex(self.lines()[-1], "has ended: this gateway goes on$")
        self.successors.start()
        self.assertEqual(len(self.reactor.started), 2)

    def test_not_started(self) -> None:
        """What starts it may fail, which is logged; the next signal tries again."""
        self.successors.start()
        self.reactor.started_as(b"")
        self.assertRegex(self.lines()[-1], "the process could not be started$")
        self.successors.start()
        self.assertEqual(len(self.reactor.started), 2)

    def assert_refused(self, why: str) -> None:
        """None is started, with the reason in the log."""
        self.successors.start()
        self.assertEqual(self.reactor.started, [])
        line = f"SIGUSR2: no gateway is started to take over: {why}"
        self.assertEqual(self.lines(), [line])

    def test_without_takeover(self) -> None:
        """Gateways that do not meet cannot take over from each other."""
        self.gateway.config = evolve(CONFIG, takeover="")
        self.assert_refused("without --takeover none can")

    def test_in_a_container(self) -> None:
        """A container would end with the gateway that is replaced."""
        self.patch(os, "getpid", lambda: 1)
        why = "a container ends with its process 1, which is this gateway"
        self.assert_refused(why)

    def test_at_the_wrong_time(self) -> None:
        """One that ends, or has not begun, starts none."""
        self.gateway.is_draining = True
        self.assert_refused("this one is about to end")
        self.gateway.is_draining, self.gateway.is_settled = False, False
        self.assert_refused("this one has not taken over yet")

    def test_no_resources(self) -> None:
        """If the machine has no room for a process that is logged."""
        self.reactor.trouble = OSError(11, "Resource temporarily unavailable")
        self.assert_refused("Resource temporarily unavailable")


@pytest.mark.parametrize("is_program", [True, False])
def test_command(tmp_path: Path, is_program: bool) -> None:
    """A script is started by itself, so that it finds the Python of its new version."""
    script = tmp_path / "lbconsul"
    script.write_text("#!/opt/new/bin/python\n")
    script.chmod(0o755 if is_program else 0o644)
    whole = ["/opt/old/bin/python", str(script), "run", "80:web"]
    assert command_again(whole) == whole[1 if is_program else 0 :]
    assert command_again(["lbconsul"]) == ["lbconsul"]
