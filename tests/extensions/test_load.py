"""Where the code that an option names is looked for, and what is said if it fails."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbconsul.errors import ConfigError
from lbconsul.extensions.load import load
from tests.support.binaries import REPOSITORY
from tests.support.packages import (
    importable,
    unused_name,
    write_entry_point,
    write_module,
)

GROUP = "lbconsul.policies"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on Python's module path."""
    with importable(tmp_path):
        yield tmp_path


def test_module(folder: Path) -> None:
    """MODULE:NAME is an attribute of a module, in a package too."""
    assert load(f"{write_module(folder, 'x = 7')}:x", GROUP) == 7
    package = unused_name()
    (folder / package).mkdir()
    (folder / package / "inner.py").write_text("class Own: pass")
    assert getattr(load(f"{package}.inner:Own", GROUP), "__name__", "") == "Own"


def test_entry_point(folder: Path) -> None:
    """A plain name is that of an entry point of an installed package."""
    module = write_module(folder, "class Own: x = 8")
    write_entry_point(folder, GROUP, "mine", f"{module}:Own.x")
    assert load("mine", GROUP) == 8
    with pytest.raises(ConfigError, match=r"in the group other\.group$"):
        load("mine", "other.group")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("1 / 0", "{0} cannot be imported: it raised ZeroDivisionError: division by"),
        ("import sys; sys.exit(3)", "{0} cannot be imported: it raised SystemExit: 3"),
        (
            "def",
            "{0} cannot be imported: it has a syntax error: invalid syntax ({0}.py",
        ),
        (
            "import own_none",
            "{0} cannot be imported: it raised ModuleNotFoundError: No",
        ),
        ("class Name: pass", "{0} has no Nam; did you mean Name?"),
        ("", "{0} has no Nam"),
    ],
)
def test_mistakes(folder: Path, code: str, why: str) -> None:
    """One line says what is wrong with a module."""
    module = write_module(folder, code)
    with pytest.raises(ConfigError) as raised:
        load(f"{module}:Nam", GROUP)
    assert str(raised.value).startswith(why.format(module))
    assert "\n" not in str(raised.value)


def test_no_module() -> None:
    """What is nowhere is said to be nowhere, and where it was looked for."""
    with pytest.raises(ConfigError) as raised:
        load("own_nowhere.inner:Own", GROUP)
    assert str(raised.value) == (
        "there is no module own_nowhere: modules are looked for among installed"
        " packages and in PYTHONPATH, not in the working directory"
    )


def test_no_entry_point(folder: Path) -> None:
    """An unknown name is answered with the one that was meant."""
    write_entry_point(folder, GROUP, "nearest", "own_x:Own")
    with pytest.raises(ConfigError, match=r"in the group .*; did you mean nearest"):
        load("neares", GROUP)


_PROGRAM = f"""
import sys
from lbconsul.extensions.load import load
try:
    print(load("own_here:x", "{GROUP}"))
except Exception as error:
    print(error)
print(sys.path[0])
"""


def _said(home: Path, *words: str, **more: str) -> list[str]:
    """What a program says of a module in its working directory."""
    said = subprocess.run(
        [sys.executable, *words],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **more},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.splitlines()


@pytest.mark.process
def test_working_directory(tmp_path: Path) -> None:
    """A module in the working directory is not taken, unless PYTHONPATH names that."""
    (tmp_path / "own_here.py").write_text("x = 9")
    (tmp_path / "own_main.py").write_text(_PROGRAM)
    for words in (("-c", _PROGRAM), ("-m", "own_main")):
        found, first = _said(tmp_path, *words)
        assert found.startswith("there is no module own_here: ")
        assert first == ("" if words[0] == "-c" else str(tmp_path))
        path = os.pathsep.join((str(REPOSITORY), str(tmp_path)))
        assert _said(tmp_path, *words, PYTHONPATH=path)[0] == "9"
