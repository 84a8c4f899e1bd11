"""The chaos suite runs where lbconsul is installed without what its tests need."""

import subprocess
import sys

import pytest


@pytest.mark.process
def test_rows_need_no_pytest() -> None:
    """`make chaos` in a fresh clone, before any test has run, finds its rows."""
    program = (
        "import sys\n"
        "sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "from chaos.rows.all import ROWS\n"
        "print(len(ROWS))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert (done.stderr, int(done.stdout) > 40) == ("", True)
