"""Descriptors of this process, to see that none stays open."""

import os

from tests.support.ports import LOCKS

Descriptors = frozenset[tuple[int, str]]


def descriptors() -> Descriptors:
    """
    Those that are open: number, and what it leads to.

    What is new since an earlier look is the difference: garbage of earlier tests may be
    closed meanwhile, so their counts say less.  The locks of ports stay to the end.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # the listing's own
            continue
    return frozenset(each for each in found if not each[1].startswith(f"{LOCKS}/"))
