"""Other Pythons, and how they were built."""

import os
import sys
from pathlib import Path

import pytest
from attrs import evolve

from bench import interpreters, plan
from bench.interpreters import Interpreter
from bench.peers.all import on_interpreters

PYTHON = Interpreter("/python", "3.99.0", False, True, "Python 3.99.0")


@pytest.mark.parametrize(
    ("optimized", "words"),
    [
        (True, "optimized by a profile, shared libpython"),
        (False, "not optimized by a profile, shared libpython"),
        (None, "perhaps optimized by a profile, shared libpython"),
    ],
)
def test_a_build_in_words(optimized: bool | None, words: str) -> None:
    """What makes a build fast or slow is said, and what is not known is not."""
    assert evolve(PYTHON, is_optimized=optimized).build == words


def test_a_profile_shows_in_the_objects() -> None:
    """Debian's Python is optimized, although it was not configured to be."""
    plain, hot = b"\x7fELF.text\0.data\0", b"\x7fELF.rela.text.hot\0.data\0"
    assert interpreters.is_profiled(3 * hot + plain)
    assert not interpreters.is_profiled(3 * plain + hot)


def test_two_of_one_version_are_told_apart() -> None:
    """Their names have their paths; each is two peers, without and with its log."""
    assert interpreters.named([PYTHON]) == [PYTHON]
    names = [each.name for each in interpreters.named([PYTHON, PYTHON])]
    assert names == ["Python 3.99.0, /python"] * 2
    assert list(on_interpreters([PYTHON])) == [
        "lbconsul, Python 3.99.0",
        "lbconsul, logging, Python 3.99.0",
    ]


@pytest.mark.process
def test_one_that_runs_lbconsul() -> None:
    """This Python is asked as another one is."""
    (one,) = interpreters.interpreters([sys.executable])
    assert one.path == os.path.abspath(sys.executable)
    assert one.build == interpreters.this_interpreter().build
    assert one.name.endswith(one.path)  # as this one is of its version, too


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
