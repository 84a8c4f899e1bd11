"""The garbage collector of a process that holds many connections.

A full collection looks at everything there is: at 50,000 connections, or with 2,000
mappings, it would hold the process for 100 ms and more, again and again as they
come.  What they leave behind is freed without it, since no circles are left.

https://docs.python.org/3/library/gc.html#gc.freeze
"""

import gc
import time
from collections.abc import Mapping
from typing import Any

#: A full collection that took longer is the last one that looks at what there is by
#: then, in seconds of processor time.
LONG = 0.002

#: Collections of the older generations come after so few of the younger ones that
#: what has come meanwhile is not much.
_THRESHOLDS = (700, 5, 3)


class ShortCollections:
    """Sets aside what took a full collection long, so that the next one is short."""

    def __init__(self) -> None:
        self._begun = 0.0

    def start(self) -> None:
        """From now on, and for what there is by now."""
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """Leave it to Python again."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: Mapping[str, Any]) -> None:
        """Called by the collector, before and after each collection."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._begun = time.thread_time()
        elif time.thread_time() - self._begun > LONG:
            gc.freeze()
