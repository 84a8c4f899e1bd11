"""Long work in steps, between which the reactor serves connections.

`lbconsul.net.sweeper.TimeSlicer` runs them in slices.
"""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")

#: Steps of up to a millisecond, and the result.  Each yields whether it was long: after
#: such a step the clock is read.
Steps = Generator[bool, None, Result]


def finish(steps: Generator[object, None, Result]) -> Result:
    """Run all steps at once, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as over:
            result: Result = over.value
            return result
