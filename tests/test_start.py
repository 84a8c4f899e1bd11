"""What twistd loads."""

import subprocess
import sys

import pytest

from tests.support.binaries import REPOSITORY

pytestmark = pytest.mark.process

SCRIPT = """
import signal
from lbconsul import start, tap
from lbconsul.process.early_signals import early_signals
assert (start.Options, start.makeService) == (tap.Options, tap.makeService)
assert signal.getsignal(signal.SIGTERM) == early_signals._terminate
"""


def test_signals_first() -> None:
    """The plugin is the command line, and handles signals."""
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": str(REPOSITORY)},
        check=True,
        timeout=60,
    )
