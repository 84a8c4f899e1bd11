"""``python -m lbconsul``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.binaries import REPOSITORY

pytestmark = pytest.mark.process


def _run(cwd: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.run(
        [sys.executable, "-m", "lbconsul", *words],
        cwd=cwd,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_same_command(tmp_path: Path) -> None:
    """It is the command lbconsul; modules of the working directory are not its own."""
    (tmp_path / "bisect.py").write_text("raise SystemExit('imported')")
    (tmp_path / "random.py").write_text("raise SystemExit('imported')")
    ended = _run(tmp_path, "check", "80:web")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "80:web" in ended.stdout


def test_in_a_source_tree() -> None:
    """In its source tree it can be run as well."""
    ended = _run(REPOSITORY, "version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("lbconsul 0.1.0 ")
