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
    #: Whether it was configured with ``--enable-optimizations``, that is optimized by a
    #: profile.  A distribution may do that in other ways, which sysconfig does not say.
    is_optimized: bool
    #: Whether libpython is a shared library of the process.
    is_shared: bool
    #: What peers on it are called.
    name: str = ""

    @property
    def text(self) -> str:
        """The version and the build, for people."""
        optimized = "with" if self.is_optimized else "without"
        shared = "shared" if self.is_shared else "static"
        return f"{self.version}, {optimized} --enable-optimizations, {shared} libpython"


def this_interpreter() -> Interpreter:
    """The Python that runs this, which imports what lbconsul needs."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return Interpreter(
        path=sys.executable,
        version=platform.python_version(),
        is_optimized="--enable-optimizations" in arguments,
        is_shared="libpython" in Path("/proc/self/maps").read_text(),
    )


def interpreters(paths: Sequence[str]) -> list[Interpreter]:
    """The Pythons at these paths, with names that differ.

    :raises NoInterpreter: one of them cannot run lbconsul.
    """
    found = [_ask(path) for path in paths]
    versions = Counter(each.version for each in found)
    return [
        evolve(
            each,
            name=f"Python {each.version}"
            + (f", {each.path}" if versions[each.version] > 1 else ""),
        )
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
