"""The program of a worker process."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from lbconsul.workers import __main__, worker
from lbconsul.workers.code_digest import code_digest
from lbconsul.workers.spawn import environment
from tests.support.binaries import REPOSITORY
from tests.support.loopback import PATIENCE

REFUSAL = "the code was changed since the gateway started: restart it\n"

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


@pytest.mark.process
@pytest.mark.parametrize("arguments", [[], ["0123456789abcdef"], [code_digest(), "x"]])
def test_other_code(arguments: list[str]) -> None:
    """Started by another version it says so in one line, and does nothing."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lbconsul.workers.__main__", *arguments],
        env=environment(os.environ, [str(REPOSITORY), *sys.path]),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", REFUSAL)


def test_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it runs, deaf to signals, and ends with the status that comes of it."""
    before = [signal.getsignal(each) for each in SIGNALS]
    heard: list[object] = []

    def run() -> int:
        heard.extend(signal.getsignal(each) for each in SIGNALS)
        return 5

    monkeypatch.setattr(worker, "run", run)
    try:
        assert __main__.main([code_digest()]) == 5
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    assert heard == [signal.SIG_IGN] * len(SIGNALS)


@pytest.mark.process
def test_deaf_before_all_else() -> None:
    """A signal during the first imports is ignored, too: there are hardly any."""
    script = "import sys, lbconsul.workers.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment({}, [str(REPOSITORY), *sys.path]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"attrs", "twisted", "lbconsul.workers.worker"} & set(
        done.stdout.split()
    ) == set()


@pytest.mark.process
def test_orders_that_cannot_be_read() -> None:
    """A worker that does not understand its master says why, and fails."""
    ours, theirs = socket.socketpair()
    script = (
        "import os, sys\n"
        f"os.dup2({theirs.fileno()}, 3)\n"
        "os.dup2(3, 5)\n"  # its channel of sockets, of which it makes no use
        "os.execv(sys.executable, [sys.executable, '-P', '-m', *sys.argv[1:]])\n"
    )
    command = ["-c", script, "lbconsul.workers.__main__", code_digest()]
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment(os.environ, [str(REPOSITORY), *sys.path]),
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        ours.settimeout(PATIENCE)
        ours.sendall(b"\0\0\0\1?")
        said = b""
        while data := ours.recv(65536):
            said += data
        ours.close()
        _, printed = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert printed.startswith("a command failed: UnpicklingError(")
    assert b"UnpicklingError" in said
