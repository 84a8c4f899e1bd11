"""The shrink guard: holds back an answer that removes implausibly many upstreams.

An agent that lost its state, a network partition, or an ACL that hides instances
look as if all instances had left.  Such upstreams are suspect, and stay in reserve.
"""

from collections.abc import Iterable

from attrs import Factory, define

from lbconsul.balance.pool_spec import ShrinkGuardConfig
from lbconsul.balance.standing import Verdict
from lbconsul.balance.upstream import Upstream

#: Smaller pools are not guarded against partial loss.
_FEW = 3

#: Absorbs rounding of floats: 29 of 100 are not more than 29 %.
_ROUNDING = 1e-9

#: This many suspect upstreams that are gone indeed show that the others are, too.
_DISPROOF = 3


@define(eq=False)
class ShrinkGuard:
    """The suspect upstreams of one pool, and until when each is kept in reserve."""

    _caution: ShrinkGuardConfig
    _until: dict[Upstream, float] = Factory(dict)
    #: How many of them proved to be gone since an answer was last held back.
    disproved: int = 0

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._until

    def __len__(self) -> int:
        return len(self._until)

    def consider(
        self, lost: Iterable[Upstream], before: int, after: int, now: float
    ) -> list[Upstream]:
        """The upstreams among `lost` that are suspect from now on.

        `before`, `after`: serving upstreams before and after the answer, new ones
        included.  Deliberate changes are never held back.
        """
        odd = [each for each in lost if self.may_err(each.verdict)]
        if not odd or not self._is_doubtful(len(odd), before, after):
            return []
        self.disproved = 0
        self._until.update(dict.fromkeys(odd, now + self._caution.hold))
        return odd

    @property
    def are_sound(self) -> bool:
        """Whether connections have not yet shown that the suspects are gone indeed."""
        return self.disproved < _DISPROOF

    def may_err(self, verdict: Verdict) -> bool:
        """Whether Consul may be wrong about an upstream with this verdict."""
        if verdict.is_check:  # Consul did not say it
            return False
        wanted = verdict.deliberate or verdict.weight <= 0
        return not wanted and (self._caution.critical or not verdict.is_critical)

    def _is_doubtful(self, odd: int, before: int, after: int) -> bool:
        part = self._caution.part
        if not part or not after:
            return bool(part)
        shrinks_by = min(odd, before - after)
        return before >= _FEW and shrinks_by - part * before > _ROUNDING

    def drop(self, upstream: Upstream) -> bool:
        """Clear an upstream of suspicion; whether it was suspect."""
        return self._until.pop(upstream, None) is not None

    def over(self, now: float) -> list[Upstream]:
        """The suspect upstreams whose hold time is over."""
        return [each for each, until in self._until.items() if until <= now]
