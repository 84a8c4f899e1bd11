"""Hides a secret of the command line from the process list."""

import ctypes
import os
import sys
from pathlib import Path


def conceal(secret: str, *, stat: Path = Path("/proc/self/stat")) -> bool:
    """Overwrite `secret` in the process's arguments, as ``ps`` shows them.

    Return whether that was possible.  It requires Linux, where the file `stat` has the
    addresses of the arguments (proc(5), fields 48 and 49).  Until this call other
    users can read the arguments, so a token file is the better place.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # /proc is not mounted
        return False
    start, end = int(fields[45]), int(fields[46])
    if not start < end:
        return False
    arguments = ctypes.string_at(start, end - start)
    needle = os.fsencode(secret)
    found = arguments.find(needle)
    while found >= 0:
        ctypes.memset(start + found, ord("x"), len(needle))
        found = arguments.find(needle, found + len(needle))
    return True
