"""Signals that come before there is a gateway."""

import os
import subprocess
import sys

import pytest

from tests.support.binaries import REPOSITORY

pytestmark = pytest.mark.process

#: Handles signals from `install` on; what came before was blocked, as in the image.
SCRIPT = """
import os, signal, sys
SIGNAL = getattr(signal, sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
os.kill(os.getpid(), SIGNAL)
from lbconsul.process.early_signals import early_signals
loaded = {each for each in sys.modules if each.startswith(("twisted", "attr"))}
assert not loaded, loaded
print("loaded", flush=True)
early_signals.install()
print("installed", early_signals.hung_up, flush=True)
print(early_signals.hand_over(), early_signals.hand_over(), flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
early_signals.release()
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
for _ in range(2):
    os.kill(os.getpid(), signal.SIGUSR1)
print("released", flush=True)
"""

ALL = ["loaded", "installed False", "False False", "released"]


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it with our code."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("SIGTERM", 0, ["loaded"]),
        ("SIGINT", 130, ["loaded"]),
        ("SIGHUP", 0, ["loaded", "installed True", "True False", "released"]),
        ("SIGUSR1", 0, ALL),
        ("SIGUSR2", 0, ALL),
        ("SIGURG", 0, ALL),
    ],
)
def test_what_came_before(name: str, status: int, said: list[str]) -> None:
    """SIGTERM and SIGINT end us as soon as we know of them, SIGHUP is noted,
    SIGUSR1 waits and SIGUSR2 does nothing; nothing else is loaded for it.
    """
    if name == "SIGURG":  # none came
        script = SCRIPT.replace("os.kill(os.getpid(), SIGNAL)", "", 1)
        script = script.replace(
            "signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})", ""
        )
    else:
        script = SCRIPT
    ran = run(script, name)
    assert (ran.returncode, ran.stdout.splitlines()) == (status, said), ran.stderr


IGNORING = """
import os, signal
from lbconsul.process.early_signals import early_signals
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
early_signals.install()
for each in (signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), each)
print(early_signals.hand_over(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""


def test_ignored() -> None:
    """The parent may have set these to be ignored: a background job, nohup."""
    assert run(IGNORING).stdout == "False True\n"
