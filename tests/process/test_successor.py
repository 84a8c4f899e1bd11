"""What becomes of SIGUSR2."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.process.successor import Successors, command_again

CONFIG = evolve(configure([], ["80:web"]), takeover="/run/lb.sock")


@define(eq=False)
class Reactor:
    """Notes what it is to start, and says that it has."""

    started: list[tuple[Any, ...]] = Factory(list)
    trouble: OSError | None = None
    pid: int = 4711

    def callFromThread(self, call: Any) -> None:  # noqa: N802
        call()

    def spawnProcess(  # noqa: N802
        self, protocol: Any, program: str, command: list[str], **keywords: Any
    ) -> "Reactor":
        if self.trouble is not None:
            raise self.trouble
        self.started.append((protocol, program, command, keywords))
        return self


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
        self.assertEqual((program, command), ("python3", sys.orig_argv))
        self.assertEqual(keywords["env"], {"NOTIFY_SOCKET": "/run/notify"})
        self.assertEqual(keywords["childFDs"], {0: 0, 1: 1, 2: 2})
        self.assertEqual(self.lines(), ["SIGUSR2: process 4711 is to take over"])

    def test_one_at_a_time(self) -> None:
        """While one is about to take over no other is started; then another may be."""
        self.successors.start()
        self.successors.start()
        self.assertRegex(self.lines()[-1], r"to take over: process 4711 is about to$")
        self.reactor.started[0][0].processEnded(Failure(ProcessTerminated(1)))
        self.assertEqual(
            self.lines(),
            [
                "process 4711, which was to take over, ended with status 1: this"
                " gateway goes on"
            ],
        )
        self.successors.start()
        self.reactor.started[1][0].processEnded(Failure(ProcessTerminated(None, 9)))
        self.assertIn("ended with signal 9", self.lines()[-1])
        self.successors.start()
        self.reactor.started[2][0].processEnded(Failure(ProcessDone(0)))
        self.assertEqual(len(self.lines()), 1)  # a daemon's first process

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
