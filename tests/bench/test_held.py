"""A process that holds connections and measures its own turns."""

import json
import subprocess
import sys

import pytest

from tests.support.binaries import REPOSITORY


@pytest.mark.process
def test_all_are_closed() -> None:
    """Connections that need no descriptors are held and closed as the gateway's are."""
    program = "import bench.held as held; held.SETTLE = 0.5; held.main('close', '500')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["left"] == 0
    assert told["longest"] > 0
