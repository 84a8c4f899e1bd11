"""The members of one pool, and which of them Consul lets serve."""

from collections.abc import Iterable, Mapping

from attrs import Factory, define, evolve

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import PoolChecks
from lbconsul.balance.pool_spec import InstanceFilter
from lbconsul.balance.standing import GONE, MANUALLY_DRAINED, Verdict, evaluate
from lbconsul.balance.upstream import Load, Upstream


@define
class MembershipChange:
    """What one answer changes in a pool."""

    #: How many upstreams served before.
    before: int
    #: The upstreams that the answer concerns.
    touched: dict[Upstream, None] = Factory(dict)
    #: The upstreams that started to serve, and those that stopped.
    gained: dict[Upstream, None] = Factory(dict)
    lost: dict[Upstream, None] = Factory(dict)
    #: The upstreams that have a new address.
    moved: list[Upstream] = Factory(list)


@define(eq=False)
class Membership:
    """The upstreams of the instances that the rules select.

    An instance that left stays a member, with a verdict that says so, until `remove`.
    """

    _rules: InstanceFilter
    #: The registrations that an operator has drained, with their CreateIndex.
    _drained: Mapping[Identity, int] = Factory(dict)
    #: The verdict on an instance that left.
    _gone: Verdict = GONE
    #: The gateway's own checks; None: there are none.
    _checks: PoolChecks | None = None
    all: dict[Identity, Upstream] = Factory(dict)
    #: The members that Consul lets serve.
    candidates: set[Upstream] = Factory(set)

    def apply(
        self, put: Iterable[tuple[Instance, Load]], drop: Iterable[Identity]
    ) -> MembershipChange:
        """Apply an answer: `put` joined or changed, each with its load; `drop` left."""
        shift = MembershipChange(before=len(self.candidates))
        for identity in drop:
            self._remove(identity, shift)
        for instance, load in put:
            self._add(instance, load, shift)
        return shift

    def _add(self, instance: Instance, load: Load, shift: MembershipChange) -> None:
        """`instance` joined or changed."""
        known = self.all.get(instance.identity)
        verdict = evaluate(instance, self._rules)
        if verdict.is_unselected:
            if known is not None:
                known.instance = instance
                weight = known.verdict.weight
                self._evaluate(known, evolve(verdict, weight=weight), shift)
            return
        created = self._drained.get(instance.identity)
        if created is not None and instance.is_registration(created):
            verdict = evolve(MANUALLY_DRAINED, weight=verdict.weight)
        if self._checks is not None:
            verdict = self._checks.judge(instance, verdict)
        if known is None:
            known = Upstream(instance, load, verdict)
            self.all[instance.identity] = known
            load.upstreams.append(known)
        elif not instance.is_at(*known.instance.location):
            shift.moved.append(known)
        elif instance.alternates:
            # The resolver does not know which address accepts: keep the one in use.
            instance = instance.preferring(known.instance.address)
        known.instance = instance
        self._evaluate(known, verdict, shift)

    def _remove(self, identity: Identity, shift: MembershipChange) -> None:
        """The instance left; ignored if it is no member."""
        upstream = self.all.get(identity)
        if upstream is not None:
            weight = upstream.verdict.weight
            self._evaluate(upstream, evolve(self._gone, weight=weight), shift)

    def _evaluate(
        self, upstream: Upstream, verdict: Verdict, shift: MembershipChange
    ) -> None:
        """Set the verdict on a member, and note whether it starts or stops serving."""
        upstream.verdict = verdict
        if self._checks is not None:
            self._checks.note(upstream)
        shift.touched[upstream] = None
        served = upstream in self.candidates
        if upstream.serving and not served:
            self.candidates.add(upstream)
            shift.gained[upstream] = None
        elif served and not upstream.serving:
            self.candidates.remove(upstream)
            shift.lost[upstream] = None

    def remove(self, upstream: Upstream) -> None:
        """Remove a member, and unlink it from its load."""
        del self.all[upstream.instance.identity]
        upstream.load.upstreams.remove(upstream)

    def clear(self) -> None:
        """Remove every member."""
        for upstream in tuple(self.all.values()):
            self.remove(upstream)
        self.candidates.clear()
