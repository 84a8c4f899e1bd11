"""A gateway as its users run it: a `twistd` process."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from tests.support import kept_logs
from tests.support.binaries import REPOSITORY
from tests.support.waiting import PATIENCE

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class Stopped(NamedTuple):
    """What a gateway says at its end."""

    accepted: int
    closed: int
    leases: int


class Gateway:
    """``twistd -n lbconsul ARGUMENTS`` in `home`, where also its output goes.

    `prefix` is a program that runs the rest of its command line, as a service
    manager would; `pass_fds` are descriptors that it inherits; `twistd` is how
    that is called, and `command` what stands for it and its ``-n lbconsul``.
    As a context manager it is ready, or with ``wait="listening"`` it just listens;
    with ``wait="started"`` its log is elsewhere and tells nothing.
    """

    def __init__(
        self,
        home: Path,
        *arguments: str,
        wait: str = "ready",
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        twistd: Sequence[str] = TWISTD,
        command: Sequence[str] = (),
    ) -> None:
        self.home = home
        self._twistd = twistd
        self._command = command
        # Many run beside each other, and few are looked at.
        looked_at = any(each.startswith("--admin") for each in arguments)
        self.arguments = arguments if looked_at else ("--admin", "off", *arguments)
        self._wait = wait
        self._environment = environment(env or {})
        self._prefix = prefix
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        #: What errors its log may have.
        self._expected: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        try:
            if self._wait == "listening":
                self.wait_until_listening()
            elif self._wait != "started":
                self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._process is not None:
            self.stop()
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it, which does not wait for it."""
        kept_logs.began(self._log_path)
        with self._log_path.open("wb") as output:
            self._start(output)

    def _start(self, output: IO[bytes]) -> None:
        command = self._command or (*self._twistd, "-n", "--pidfile=", "lbconsul")
        self._process = subprocess.Popen(
            [*self._prefix, *command, *self.arguments],
            cwd=self.home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=self._pass_fds,
            # A shell that runs the tests in the background may ignore it.
            preexec_fn=_heed_sigint,
        )

    def wait_until_listening(self) -> None:
        """Return once it serves its mappings, whatever Consul says."""
        self.wait_for(r"balancing ")

    def wait_until_ready(self) -> None:
        """Return once Consul has answered for each of its services."""
        self.wait_until_listening()
        # All mappings are logged before anything is read from Consul; names in quotes
        # are not waited for.
        found = self.find(
            r"balancing [^\s,]*:(?:[^\s,]+=)?([^\s\",]+)(?:,\S*)?(?: .*)?$"
        )
        for service in {each[1] for each in found} - {"-"}:
            self.wait_for(rf" info {re.escape(service)}(,.*)?: .*; \d+ in all$")

    def wait_for(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """The first place in its log that looks like `pattern`, once there is one."""
        end = time.monotonic() + timeout
        while True:
            running = self._process is not None and self._process.poll() is None
            found = self.find(pattern)
            if found:
                return found[0]
            if not running or time.monotonic() > end:
                state = "runs" if running else "has ended"
                said = self.log()[-2000:]
                raise AssertionError(
                    f"no {pattern!r} of a gateway that {state}; it said:\n{said}"
                )
            time.sleep(0.02)

    def find(self, pattern: str) -> list[re.Match[str]]:
        """All places in its log that look like `pattern`; ^ and $ are of a line."""
        return list(re.finditer(pattern, self.log(), re.MULTILINE))

    def log(self) -> str:
        """All that it has printed."""
        if not self._log_path.exists():
            return ""
        return self._log_path.read_text(errors="replace")

    def stop(self) -> Stopped:
        """End it as a service manager would; it must end well, and say how."""
        self.terminate()
        return self.wait_until_gone()

    def terminate(self) -> None:
        """Ask it to end, and do not wait for that."""
        self.signal(signal.SIGTERM)

    def reload(self) -> None:
        """Ask it to read everything again, and do not wait for that."""
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def status(self) -> int:
        """Wait until it has ended, however it does; its status."""
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        self._process = None
        return status

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for an error in its log, which is none of the test's failures."""
        self._expected.append(pattern)
        return self.wait_for(pattern)

    def wait_until_gone(self) -> Stopped:
        """Wait until it has ended, which it must do by itself, with status 0."""
        status = self.status()
        assert status == 0, f"it ended with {status}"
        log = self.log()
        for expected in self._expected:
            log = re.sub(f"^.*{expected}.*$", "", log, flags=re.MULTILINE)
        bad = re.search(r"Traceback|Unhandled|^\S+ (?:critical|error) .*", log, re.M)
        assert not bad, f"{bad[0]} in its log"
        last = (
            r"stopped: (\d+) connections accepted, (\d+) closed at the end"
            r"(?:, (\d+) leases left)?$"
        )
        (said,) = self.find(last)
        return Stopped(*(int(number or 0) for number in said.groups()))

    def kill(self) -> None:
        """End it as a crash would, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None
        kept_logs.ended(self._log_path)

    @property
    def _log_path(self) -> Path:
        return self.home / "gateway.log"


#: Starts a gateway with these arguments and keywords, and waits until it is ready.
StartGateway = Callable[..., Gateway]


def run_to_its_end(
    home: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a gateway that is expected to end by itself, with its output in pipes."""
    return subprocess.Popen(
        [*TWISTD, "-n", "--pidfile=", "lbconsul", *arguments],
        cwd=home,
        env=environment(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _heed_sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours with the repository's code, and without Consul's variables and our own."""
    consul = ("CONSUL", "LBCONSUL_")
    ours = {k: v for k, v in os.environ.items() if not k.startswith(consul)}
    return {**ours, "PYTHONPATH": str(REPOSITORY), **more}
