"""Tracks which limits are reached and for how long, and logs that."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import ThrottledLog, in_words
from lbconsul.text import decimal

#: What can be full: the connections of a mapping, those of the process, and its
#: descriptors; and the process itself, which is too late to serve all.
MAPPING, PROCESS, DESCRIPTORS = "max-connections", "process", "descriptors"
SHEDDING = "shed-lag"

#: How long a limit must be reached, or free again, before that is reported, in seconds.
LASTS = 1.0

#: Lines a second, the burst, and the seconds between summaries of withheld lines.
RATE, BURST, SUM_UP_EVERY = 0.2, 5.0, 10.0


class Full(NamedTuple):
    """A limit that is reached: MAPPING, PROCESS, DESCRIPTORS or SHEDDING."""

    reason: str
    #: The mapping; empty if the limit is the process's.
    mapping: str = ""


@define(eq=False)
class Saturation:
    """Checks what is full whenever `Periodic` calls, and reports what lasts.

    `look` returns what is full now, each with its limit.
    """

    _log = Logger()
    _clock: IReactorTime
    _look: Callable[[], Mapping[Full, float]]
    #: Since when each is full.
    _since: dict[Full, float] = Factory(dict)
    #: What was reported as full; since when it is free again, or None.
    _told: dict[Full, float | None] = Factory(dict)
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        throttle = TokenBucket(RATE, BURST)
        self._bound = ThrottledLog(self._clock, throttle, self._sum_up, SUM_UP_EVERY)

    @property
    def full(self) -> tuple[Full, ...]:
        """What is full and was reported, sorted."""
        return tuple(sorted(self._told))

    def tick(self) -> Iterable[None]:
        """Check what is full; `Periodic` calls this."""
        self._look_again()
        return ()

    def _look_again(self) -> None:
        now, found = self._clock.seconds(), self._look()
        if not found and not self._since:
            return
        for each, limit in found.items():
            since = self._since.setdefault(each, now)
            if each in self._told:
                self._told[each] = None
            elif now - since >= LASTS:
                self._told[each] = None
                self._tell_full(each, limit)
        for each in self._since.keys() - found.keys():
            self._not_full(each, now)

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _not_full(self, each: Full, now: float) -> None:
        """Report the end of being full, once it has lasted `LASTS` seconds."""
        if each not in self._told:
            del self._since[each]
            return
        clear = self._told[each]
        if clear is None:
            self._told[each] = now
        elif now - clear >= LASTS:
            del self._told[each]
            self._tell_end(each, clear - self._since.pop(each))

    def _tell_full(self, each: Full, limit: float) -> None:
        if each.reason == DESCRIPTORS:
            return  # the listener has logged the shortage
        if not self._bound.allow("full"):
            return
        if each.reason == MAPPING:
            self._log.warn(
                "{mapping}: full: max-connections={limit} is reached; new clients wait"
                " in the kernel's queue",
                mapping=each.mapping,
                limit=limit,
            )
        elif each.reason == SHEDDING:
            self._log.warn(
                "{mapping}: overloaded: this process is later than shed-lag={limit}s: a"
                " part of new requests, or connections, is turned away",
                mapping=each.mapping,
                limit=decimal(limit),
            )
        else:
            self._log.warn(
                "full: this process has {limit} connections, as many as its descriptors"
                " allow; new clients of all mappings wait in the kernel's queue",
                limit=limit,
            )

    def _tell_end(self, each: Full, seconds: float) -> None:
        if self._bound.allow("no longer full"):
            self._log.info(
                "{what}, after {seconds} s",
                what=_ENDS[each.reason].format(each.mapping),
                seconds=round(seconds),
            )

    def _sum_up(self, counts: Mapping[str, int]) -> None:
        self._log.warn("more of the same: {what}", what=in_words(counts))


_ENDS = {
    MAPPING: "{}: no longer full",
    SHEDDING: "{}: no longer overloaded",
    PROCESS: "no longer full: this process has room for connections again",
    DESCRIPTORS: "descriptors, ports and memory suffice again",
}
