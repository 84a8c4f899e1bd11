"""The draining upstreams of one pool, and when their open connections are closed."""

from math import ceil
from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.standing import Drain, Verdict
from lbconsul.balance.upstream import Load

#: The last part of the drain timeout, over which closing is spread: clients must not
#: all reconnect at the same moment.
_SPREAD = 0.1


@define(eq=False)
class Draining:
    """The drains of one pool, by load: an instance that returns keeps its load."""

    _leaves: WeakKeyDictionary[Load, Drain] = Factory(WeakKeyDictionary)
    #: The distinct drains; ended ones may remain until the next `tick`.
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

    def tick(self) -> None:
        """Forget the drains whose connections are all closed."""
        if self.kinds:
            for load in [each for each in self._leaves if not each.open]:
                del self._leaves[load]
            self.kinds = frozenset(self._leaves.values())


def to_close(count: int, since: float, timeout: float, now: float, step: float) -> int:
    """How many of `count` connections to close now, if called every `step` seconds.

    0 for most of the `timeout`, then an equal number per call until none is left at
    its end.
    """
    left = since + timeout - now
    if left > timeout * _SPREAD:
        return 0
    return count if left <= 0 else ceil(count / ceil(left / step))
