"""The gateway's own checks, as pools see them: results, and what follows from them.

A check that fails is a verdict as Consul's ``critical`` is: the upstream drains.  Where
the checks of all fail, the pool may fail open: it is used as if none had failed.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from attrs import Factory, define, evolve

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import CheckRules
from lbconsul.balance.standing import Standing, Verdict
from lbconsul.balance.upstream import Upstream

#: The reason of an upstream that waits for the first result of its check.
NO_RESULT = "own check: no result yet"

_OPEN = "used all the same, since the own checks of all fail"


class CheckKey(NamedTuple):
    """What is checked, and how: one check of an instance at one place.

    At another place the instance is another one to check.
    """

    check: Hashable
    identity: Identity
    host: str
    port: int

    @classmethod
    def of(cls, check: Hashable, instance: Instance) -> "CheckKey":
        """The check of an instance as it is registered now."""
        return cls(check, instance.identity, instance.host, instance.port)


#: The results of checks: why they fail, empty for those that pass.  A missing one is
#: not known.
Results = Mapping[CheckKey, str]

#: Other results; None for those that are not known any more.
ResultChanges = Mapping[CheckKey, str | None]


@define(eq=False)
class PoolChecks:
    """The own checks of one pool's upstreams."""

    rules: CheckRules
    #: The results of all checks, which other pools share.
    _results: Results
    #: Whether the pool has another one to go to.
    _has_elsewhere: Callable[[], bool] = lambda: False
    #: Whether it is used as if no check had failed.
    is_open: bool = False
    #: The upstreams that would serve but for their check, or for its first result.
    failing: dict[Upstream, None] = Factory(dict)
    awaiting: dict[Upstream, None] = Factory(dict)

    def judge(self, instance: Instance, verdict: Verdict) -> Verdict:
        """The verdict on an instance with the result of its check."""
        if verdict.standing is not Standing.SERVING:
            return verdict
        reason = self._results.get(CheckKey.of(self.rules.check, instance))
        if reason:
            if self.is_open:
                shown = f"{reason}; {_OPEN}"
                return evolve(verdict, reason=shown, is_check=True)
            return _refused(verdict, reason, is_critical=True)
        if reason is None and self.rules.awaits:
            return _refused(verdict, NO_RESULT)
        return verdict

    def note(self, upstream: Upstream) -> None:
        """Note the verdict on a member."""
        verdict = upstream.verdict
        awaits = verdict.is_check and verdict.reason == NO_RESULT
        for known, is_one in (
            (self.awaiting, awaits),
            (self.failing, verdict.is_check and not awaits),
        ):
            if is_one:
                known[upstream] = None
            else:
                known.pop(upstream, None)

    def turn(self, candidates: int) -> bool:
        """Open or close the pool if that is due; whether it was.

        `candidates` is the number of upstreams that serve.
        """
        if not (self.failing or self.is_open):
            return False
        passing = candidates - (len(self.failing) if self.is_open else 0)
        wanted = (
            self.rules.fail_open
            and bool(self.failing)
            and not (passing or self.awaiting or self._has_elsewhere())
        )
        if wanted is self.is_open:
            return False
        self.is_open = wanted
        return True


def _refused(verdict: Verdict, reason: str, *, is_critical: bool = False) -> Verdict:
    return evolve(
        verdict,
        standing=Standing.DRAINING,
        reason=reason,
        is_critical=is_critical,
        is_check=True,
    )
