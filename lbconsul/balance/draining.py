"""Who of one pool gets nothing any more, and has connections left."""

from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.departure import Drain
from lbconsul.balance.standing import Verdict
from lbconsul.balance.upstream import Load


@define(eq=False)
class Draining:
    """Since when each does, by its load: one that comes back has the same."""

    _leaves: WeakKeyDictionary[Load, Drain] = Factory(WeakKeyDictionary)
    #: Those that there are, of which many may be the same; maybe a few more.
    kinds: frozenset[Drain] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._leaves)

    def begin(self, load: Load, verdict: Verdict, now: float) -> None:
        """Consul says this of it, and it serves no more."""
        if not (verdict.deliberate or verdict.is_gone or verdict.is_critical):
            self.end(load)  # not good enough to get more: its connections live on
            return
        known = self._leaves.get(load)
        if known is None or known.critical is not verdict.is_critical:
            leave = self._leaves[load] = Drain(now, verdict.is_critical)
            self.kinds |= {leave}

    def end(self, load: Load) -> None:
        """It stays."""
        self._leaves.pop(load, None)
        if not self._leaves:
            self.kinds = frozenset()

    def find(self, load: Load) -> Drain | None:
        """Since when, and why, if it leaves."""
        return self._leaves.get(load)

    def tend(self) -> None:
        """Forget those whose connections are over."""
        if self.kinds:
            for load in [each for each in self._leaves if not each.open]:
                del self._leaves[load]
            self.kinds = frozenset(self._leaves.values())
