"""The shrink guard: not every answer that takes upstreams away is believed.

An agent that lost its state, a network that is cut in two, or an ACL that hides
what there is look as if everything had gone.  What is doubted stays in reserve.
"""

from collections.abc import Iterable

from attrs import Factory, define

from lbconsul.balance.pool_spec import ShrinkGuardConfig
from lbconsul.balance.standing import Verdict
from lbconsul.balance.upstream import Upstream

#: Of so few it says nothing that most are gone.
_FEW = 3

#: 29 of 100 are not more than 29 %, whatever floats say.
_ROUNDING = 1e-9

#: So many that are gone indeed show that the others are, too.
_DISPROOF = 3


@define(eq=False)
class ShrinkGuard:
    """Who of one pool is kept in reserve, and until when."""

    _caution: ShrinkGuardConfig
    _until: dict[Upstream, float] = Factory(dict)
    #: How many of them have proved to be gone since the last answer that is doubted.
    disproved: int = 0

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._until

    def __len__(self) -> int:
        return len(self._until)

    def consider(
        self, lost: Iterable[Upstream], before: int, after: int, now: float
    ) -> list[Upstream]:
        """Who of those that an answer takes away is kept from now on.

        `before` it so many served, and `after` it so many do, new ones among them.
        What somebody wants so is believed.
        """
        odd = [each for each in lost if self.may_err(each.verdict)]
        if not odd or not self._is_doubtful(len(odd), before, after):
            return []
        self.disproved = 0
        self._until.update(dict.fromkeys(odd, now + self._caution.hold))
        return odd

    @property
    def are_sound(self) -> bool:
        """Whether it has not shown yet that they are gone indeed."""
        return self.disproved < _DISPROOF

    def may_err(self, verdict: Verdict) -> bool:
        """Whether it may be that it is not as Consul says."""
        wanted = verdict.deliberate or verdict.weight <= 0
        return not wanted and (self._caution.critical or not verdict.is_critical)

    def _is_doubtful(self, odd: int, before: int, after: int) -> bool:
        part = self._caution.part
        if not part or not after:
            return bool(part)
        shrinks_by = min(odd, before - after)
        return before >= _FEW and shrinks_by - part * before > _ROUNDING

    def drop(self, upstream: Upstream) -> bool:
        """It is doubted no longer; whether it was."""
        return self._until.pop(upstream, None) is not None

    def over(self, now: float) -> list[Upstream]:
        """Whose time is over."""
        return [each for each, until in self._until.items() if until <= now]
