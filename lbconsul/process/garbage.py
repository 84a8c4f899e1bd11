"""Keeps full garbage collections short in a process with many connections.

A full collection scans all objects: with 50,000 connections, or 2,000 mappings, it
would stop the process for 100 ms and more, repeatedly as connections arrive.  Closed
connections leave no reference cycles, so they are freed without it.

https://docs.python.org/3/library/gc.html#gc.freeze
"""

import gc
import time
from collections.abc import Mapping
from typing import Any

#: After a full collection that took longer, in seconds of processor time, all present
#: objects are frozen: later collections do not scan them.
LONG = 0.002

#: Collections of the older generations come after so few of the younger ones that
#: what has come meanwhile is not much.
_THRESHOLDS = (700, 5, 3)


class ShortCollections:
    """Freezes all objects after a long full collection: the next one is short."""

    def __init__(self) -> None:
        self._begun = 0.0

    def start(self) -> None:
        """Freeze the present objects, and watch collections from now on."""
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """Stop watching collections."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: Mapping[str, Any]) -> None:
        """The collector starts or ends a collection: freeze after a long full one."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._begun = time.thread_time()
        elif time.thread_time() - self._begun > LONG:
            gc.freeze()
