"""When to restart a worker that died."""

from attrs import Factory, define

#: A worker that lived this long, in seconds, is restarted at once.
LIVED = 2.0

#: The delay before a worker that died earlier is restarted, and its upper bound, in
#: seconds; it doubles with each early death.
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0


@define(eq=False)
class Backoff:
    """The restart delays of all worker numbers."""

    #: Consecutive early deaths of each worker number.
    _early: dict[int, int] = Factory(dict)

    def wait(self, number: int, lived: float) -> float:
        """Seconds until the restart of a worker that died after `lived` seconds."""
        if lived >= LIVED:
            self._early.pop(number, None)
            return 0.0
        early = self._early.get(number, 0)
        self._early[number] = early + 1
        return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(early, 10)))
