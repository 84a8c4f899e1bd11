"""Keep a secret given on the command line out of the process list."""

import ctypes
import os
import sys
from pathlib import Path


def conceal(secret: str, *, stat: Path = Path("/proc/self/stat")) -> bool:
    """Overwrite `secret` in this process's arguments, as ``ps`` shows them.

    Whether that was possible: it takes Linux, where the file `stat` tells where
    the arguments lie (proc(5), fields 48 and 49).  Until we come here the
    arguments could be read, so a token file is the better place.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # no /proc here
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
