"""Wait for what other threads and programs are about to do."""

import time
from collections.abc import Callable

#: How long anything may take before it is taken to hang, in seconds: a busy machine is
#: no mistake.  Workers that take half a second to start took 20 s.
PATIENCE = 60.0


def eventually(
    condition: Callable[[], object], what: str, timeout: float = PATIENCE
) -> float:
    """Wait until `condition` holds; how long that took, in seconds.

    :raises AssertionError: it does not hold in time; `what` says in words what was
        waited for.
    """
    begin = time.monotonic()
    while not condition():
        waited = time.monotonic() - begin
        assert waited < timeout, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - begin
