"""A wall clock that is set while a program runs, for that program alone.

The kernel has one for all (time namespaces are for the other clocks).  What Python
reads it by is replaced before anything else is imported.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.support.binaries import REPOSITORY

_CUSTOMIZE = """
import mmap, os, struct, time

with open(os.environ["MOVED_CLOCK"], "rb") as file:
    _moved = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

def _time(real=time.time):
    return real() + struct.unpack("d", _moved[:])[0]

time.time = _time
time.time_ns = lambda: int(_time() * 1e9)
"""


class MovedClock:
    """The clock of the programs that have its `env`."""

    def __init__(self, home: Path) -> None:
        home.mkdir(exist_ok=True)
        (home / "sitecustomize.py").write_text(_CUSTOMIZE)
        self._file = home / "moved"
        self.by(0.0)
        self.env: Mapping[str, str] = {
            "PYTHONPATH": os.pathsep.join((str(home), str(REPOSITORY))),
            "MOVED_CLOCK": str(self._file),
        }

    def by(self, seconds: float) -> None:
        """It shows so many seconds more than ours from now on."""
        mode = "r+b" if self._file.exists() else "wb"
        with self._file.open(mode) as file:
            file.write(struct.pack("d", seconds))
