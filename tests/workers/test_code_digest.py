"""Whether two processes run the same code."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lbconsul.workers.code_digest import code_digest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package."""
    (tmp_path / "room").mkdir()
    for name in ("a.py", "room/b.py", "py.typed"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_same_code(package: Path) -> None:
    """The same code has the same digest, whenever and wherever it was written."""
    before = code_digest(package)
    os.utime(package / "a.py", (0, 0))
    (package / "room" / "b.cpython.pyc").write_text("compiled")
    assert code_digest(package) == before
    moved = package.rename(package.with_name("elsewhere"))
    assert code_digest(moved) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "a.py").write_text("b.py"),
        lambda package: (package / "room" / "b.py").unlink(),
        lambda package: (package / "c.py").touch(),
        lambda package: (package / "a.py").rename(package / "room" / "a.py"),
    ],
)
def test_changed(package: Path, change: Callable[[Path], object]) -> None:
    """Whatever is changed in it makes it another one."""
    before = code_digest(package)
    change(package)
    assert code_digest(package) != before


def test_another_python(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does another version of Python."""
    before = code_digest(package)
    monkeypatch.setattr(sys, "version", "3.99")
    assert code_digest(package) != before


def test_ours() -> None:
    """Ours is a word that can stand on a command line."""
    assert code_digest().isalnum()
    assert code_digest() != code_digest(Path("/nowhere"))
