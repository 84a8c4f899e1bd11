"""When to replace a worker that died."""

from attrs import Factory, define

#: A worker that lived for so long, in seconds, is replaced at once.
LIVED = 2.0

#: How long to wait before one is replaced that did not, and the longest such
#: wait, in seconds; it doubles with each that dies early.
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0


@define(eq=False)
class Backoff:
    """How long to wait for the next one of a number."""

    #: How many of each number have died early, one after the other.
    _early: dict[int, int] = Factory(dict)

    def wait(self, number: int, lived: float) -> float:
        """Seconds to wait, now that one is dead that lived for so many."""
        if lived >= LIVED:
            self._early.pop(number, None)
            return 0.0
        early = self._early.get(number, 0)
        self._early[number] = early + 1
        return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(early, 10)))
