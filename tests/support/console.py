"""The command ``lbconsul`` as it is installed."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.gateway import environment

COMMAND = Path(sys.executable).parent / "lbconsul"


def console(
    *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run it; its exit status, output and errors."""
    assert COMMAND.exists(), f"{COMMAND} is not installed: make .venv/.test"
    ended = subprocess.run(
        [COMMAND, *words],
        cwd=cwd,
        env=environment(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr
