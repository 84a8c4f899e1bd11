"""Packages of an operator's own, made for one test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_NUMBERS = count()


def unused_name() -> str:
    """The name of a module that no other test has imported."""
    return f"own_{next(_NUMBERS)}"


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Have a folder on Python's module path, behind all others."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def write_module(folder: Path, code: str) -> str:
    """Write a module that no other test has; returns its name."""
    name = unused_name()
    (folder / f"{name}.py").write_text(code)
    return name


def write_entry_point(folder: Path, group: str, name: str, value: str) -> None:
    """Write what an installed package has beside its modules."""
    info = folder / "own_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


FIRST = '''
class First:
    """Chooses the upstream with the least id."""

    def __init__(self, chance):
        self.placed = {}

    def place(self, upstream):
        self.placed[upstream.id] = upstream

    def withdraw(self, upstream):
        del self.placed[upstream.id]

    def choose(self):
        return self.placed[min(self.placed)] if self.placed else None
'''
