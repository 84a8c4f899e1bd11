"""The draining upstreams of one pool: no new connections, old ones still open."""

from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.departure import Drain
from lbconsul.balance.standing import Verdict
from lbconsul.balance.upstream import Load


@define(eq=False)
class Draining:
    """The drains of one pool, by load: an instance that returns keeps its load."""

    _leaves: WeakKeyDictionary[Load, Drain] = Factory(WeakKeyDictionary)
    #: The distinct drains; ended ones may remain until the next `tend`.
    kinds: frozenset[Drain] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._leaves)

    def begin(self, load: Load, verdict: Verdict, now: float) -> None:
        """The upstream stopped serving: drain it if `verdict` demands that."""
        if not (verdict.deliberate or verdict.is_gone or verdict.is_critical):
            self.end(load)  # no new connections, but the open ones live on
            return
        known = self._leaves.get(load)
        if known is None or known.critical is not verdict.is_critical:
            leave = self._leaves[load] = Drain(now, verdict.is_critical)
            self.kinds |= {leave}

    def end(self, load: Load) -> None:
        """End the drain, if there is one."""
        self._leaves.pop(load, None)
        if not self._leaves:
            self.kinds = frozenset()

    def find(self, load: Load) -> Drain | None:
        """The drain of `load`, or None."""
        return self._leaves.get(load)

    def tend(self) -> None:
        """Forget the drains whose connections are all closed."""
        if self.kinds:
            for load in [each for each in self._leaves if not each.open]:
                del self._leaves[load]
            self.kinds = frozenset(self._leaves.values())
