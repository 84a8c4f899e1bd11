"""The instances of one answer that are not connected to, and what is said of them."""

from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.instance import Instance
from lbconsul.consul.blocking_query import Bucket
from lbconsul.consul.catalog import Skipped

#: Lines at once, and a second: what can be registered has no bound.
BURST, RATE = 20.0, 0.1

#: So many are shown; of more, only how many there are.
SHOWN = 50

#: Says why an instance must not be connected to; empty for most.
Screen = Callable[[Instance], str]


def screened(instances: Iterable[Instance], screen: Screen) -> list[Instance]:
    """The instances, those with the reason that must not be connected to."""
    return [
        evolve(each, skipped=why) if (why := screen(each)) else each
        for each in instances
    ]


@define(eq=False)
class Skipping:
    """The skipped instances of one query; each is logged once while it is one."""

    _log = Logger()
    _clock: IReactorTime
    _query: str
    all: tuple[Skipped, ...] = ()
    _known: frozenset[Skipped] = frozenset()
    _bucket: Bucket = Factory(lambda: Bucket(RATE, BURST))

    def replace(self, skipped: Sequence[Skipped]) -> None:
        """These are skipped now."""
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
