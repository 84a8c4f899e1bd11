"""The Pythons that lbconsul is measured on, and how they were built.

A build makes as much difference as a version: each figure names its build.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict, evolve, frozen

from bench.processes import REPOSITORY

#: How to make an environment for another Python.
HOW = (
    "make VENV=.venv-NAME PYTHON=OTHER_PYTHON .venv-NAME/.run,"
    " and --python .venv-NAME/bin/python"
)


class NoInterpreter(Exception):
    """A Python cannot run lbconsul; the text says why."""


@frozen
class Interpreter:
    """A Python with what lbconsul needs."""

    path: str
    version: str
    #: Whether it was optimized by a profile; None: it does not say.
    is_optimized: bool | None
    #: Whether libpython is a shared library of the process.
    is_shared: bool
    #: What it and its peers are called.
    name: str = ""

    @property
    def build(self) -> str:
        """How it was built, for people."""
        optimized = {True: "", False: "not ", None: "perhaps "}[self.is_optimized]
        shared = "shared" if self.is_shared else "static"
        return f"{optimized}optimized by a profile, {shared} libpython"


def this_interpreter() -> Interpreter:
    """The Python that runs this, which imports what lbconsul needs."""
    version = platform.python_version()
    return Interpreter(
        path=sys.executable,
        version=version,
        is_optimized=_is_optimized(),
        is_shared="libpython" in Path("/proc/self/maps").read_text(),
        name=f"Python {version}",
    )


def _is_optimized() -> bool | None:
    """Whether this Python was, as far as it can be found out."""
    said = sysconfig.get_config_vars("CONFIG_ARGS", "LIBPL", "LIBRARY")
    arguments, *library = (each or "" for each in said)
    if "--enable-optimizations" in arguments:
        return True
    # A distribution may do it in another way, as Debian does.
    try:
        return is_profiled(Path(*library).read_bytes())
    except OSError:
        return None


def is_profiled(library: bytes) -> bool:
    """Whether the objects in a static library were compiled with a profile.

    GCC puts functions that a profile calls hot into a section of their own.
    """
    return 2 * library.count(b".text.hot\0") > library.count(b"\x7fELF")


def interpreters(paths: Sequence[str]) -> list[Interpreter]:
    """The Pythons at these paths.

    :raises NoInterpreter: one of them cannot run lbconsul.
    """
    return named([_ask(path) for path in paths])


def named(found: Sequence[Interpreter]) -> list[Interpreter]:
    """The same; those of one version, this Python's too, have paths in their names."""
    versions = Counter([platform.python_version(), *(each.version for each in found)])
    return [
        evolve(each, name=f"{each.name}, {each.path}")
        if versions[each.version] > 1
        else each
        for each in found
    ]


def _ask(told: str) -> Interpreter:
    path = os.path.abspath(shutil.which(told) or told)
    try:
        done = subprocess.run(
            [path, "-m", "bench.interpreters"],
            cwd=REPOSITORY, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
    except OSError as error:
        raise NoInterpreter(f"{told}: {error.strerror}") from None
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["it failed"]
        raise NoInterpreter(f"{told} cannot run lbconsul: {why[0]} ({HOW})")
    return Interpreter(**{**json.loads(done.stdout), "path": path})


if __name__ == "__main__":
    import lbconsul.tap  # noqa: F401  (it fails if something is missing)

    print(json.dumps(asdict(this_interpreter())))
