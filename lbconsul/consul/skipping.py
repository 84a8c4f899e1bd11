"""The instances of an answer that get no connections: keeps and logs them."""

from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.instance import Instance
from lbconsul.consul.catalog import Skipped
from lbconsul.net.rate_limit import TokenBucket

#: The limit of log lines: a burst, and lines a second.  The number of registrations
#: has no bound.
BURST, RATE = 20.0, 0.1

#: The most skipped instances that the status names; it counts the others.
SHOWN = 50

#: Returns why the gateway must not connect to an instance; empty if it may.
Screen = Callable[[Instance], str]


def screened(instances: Iterable[Instance], screen: Screen) -> list[Instance]:
    """The instances, with the reason in `skipped` for those that `screen` rejects."""
    return [
        evolve(each, skipped=why) if (why := screen(each)) else each
        for each in instances
    ]


@define(eq=False)
class Skipping:
    """The skipped instances of one query; each is logged once while it is skipped."""

    _log = Logger()
    _clock: IReactorTime
    _query: str
    all: tuple[Skipped, ...] = ()
    _known: frozenset[Skipped] = frozenset()
    _bucket: TokenBucket = Factory(lambda: TokenBucket(RATE, BURST))

    def replace(self, skipped: Sequence[Skipped]) -> None:
        """Set the skipped instances, and log the new ones."""
        if skipped or self.all:
            self.all = tuple(skipped)
            new = dict.fromkeys(each for each in skipped if each not in self._known)
            self._known = frozenset(skipped)
            self._tell(new)

    def _tell(self, new: Iterable[Skipped]) -> None:
        unsaid = 0
        for each in new:
            if not self._bucket.allows(self._clock.seconds()):
                unsaid += 1
                continue
            self._log.warn(
                "{query}: skipped {instance}: {reason}",
                query=self._query,
                instance=each.instance,
                reason=each.reason,
            )
        if unsaid:
            self._log.warn(
                "{query}: skipped {unsaid} more instances, {total} in all; /status"
                " names {shown}",
                query=self._query,
                unsaid=unsaid,
                total=len(self.all),
                shown=min(SHOWN, len(self.all)),
            )
