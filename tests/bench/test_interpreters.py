"""Other Pythons, and how they were built."""

import os
import sys
from pathlib import Path

import pytest

from bench import interpreters, plan
from bench.peers.all import on_interpreters


def test_a_build_in_words() -> None:
    """The version stands first, then what makes a build fast or slow."""
    built = interpreters.Interpreter("/python", "3.13.0", False, True)
    assert built.text == "3.13.0, without --enable-optimizations, shared libpython"


@pytest.mark.process
def test_one_that_runs_lbconsul() -> None:
    """Two of one version have their paths in their names; each is two peers."""
    one, other = interpreters.interpreters([sys.executable, sys.executable])
    assert one == other
    assert one.path == os.path.abspath(sys.executable)
    assert one.path in one.name
    (one,) = interpreters.interpreters([sys.executable])
    version = ".".join(map(str, sys.version_info[:3]))
    assert one.text.startswith(version)
    assert list(on_interpreters([one])) == [
        f"lbconsul, Python {version}",
        f"lbconsul, logging, Python {version}",
    ]


@pytest.mark.process
def test_one_that_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator reads what is missing, and how to make an environment."""
    poor = tmp_path / "python"
    poor.write_text("#!/bin/sh\necho No module named twisted >&2\nexit 1\n")
    poor.chmod(0o755)
    for path, why in (
        (str(poor), "No module named twisted (make VENV="),
        (str(tmp_path / "none"), "No such file"),
    ):
        with pytest.raises(SystemExit):
            plan.parse(["--python", path])
        assert why in capsys.readouterr().err
