"""A pool: the upstreams of one selection, and which of them is next."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from attrs import Factory, define, evolve, field

from lbconsul.balance.departure import Drain
from lbconsul.balance.draining import Draining
from lbconsul.balance.events import EventKind, PoolEvent, RegistryEvent, UpstreamEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.membership import Membership
from lbconsul.balance.outlier import Ejection, Outliers, Ruling
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.scheduler import Scheduler
from lbconsul.balance.shrink_guard import ShrinkGuard
from lbconsul.balance.slow_start import SlowStart
from lbconsul.balance.standing import GONE, Standing, StandingInfo, Verdict
from lbconsul.balance.upstream import Lease, Load, Outcome, Upstream
from lbconsul.balance.weighted import Chance

#: Where no more than this part of a pool is left beside those in doubt, these get
#: their share.
_FEW_LEFT = 0.2


@define(eq=False)
class Pool:
    """The upstreams of one selection: which there are, and their standing."""

    _selection: PoolSpec
    _scheduler: Scheduler
    _outliers: Outliers
    _seconds: Callable[[], float]
    #: Called with each event of an upstream, or of the pool.
    _on_event: Callable[[RegistryEvent], None] = lambda event: None
    _chance: Chance = lambda: 0.0
    #: The registrations that an operator has drained, by their CreateIndex.
    _resting: Mapping[Identity, int] = Factory(dict)
    _members: Membership = field(init=False)
    _shrink_guard: ShrinkGuard = field(init=False)
    _slow_start: SlowStart = field(init=False)
    _draining: Draining = Factory(Draining)
    #: How many have joined, or come back, while others served.
    joins: int = 0
    #: Those that Consul lists still, but that are not selected any more: they are
    #: shown until their connections are over.
    _unselected: set[Upstream] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self._members = Membership(self._selection.rules, self._resting, self._gone())
        self._shrink_guard = ShrinkGuard(self._selection.caution)
        self._slow_start = SlowStart(self._selection.slow_start)

    def _gone(self) -> Verdict:
        """What is said of one that is not in Consul's answer any more."""
        if not self._selection.question.filter:
            return GONE
        # Consul does not say which of the two.
        return evolve(GONE, reason="deregistered, or no longer matched by filter=")

    def __len__(self) -> int:
        return len(self._members.all)

    def holds(self, upstream: Upstream) -> bool:
        """Whether it is a member."""
        return self._members.all.get(upstream.instance.identity) is upstream

    def upstreams(self) -> Collection[Upstream]:
        """Every upstream, whatever its standing."""
        return self._members.all.values()

    @property
    def question(self) -> ServiceQuery:
        """What Consul is asked for it."""
        return self._selection.question

    @property
    def candidates(self) -> Collection[Upstream]:
        """The upstreams that Consul lets serve."""
        return self._members.candidates

    @property
    def is_usable(self) -> bool:
        """Whether Consul lets any upstream serve that is not ejected."""
        return len(self._members.candidates) > len(self._outliers.ejected)

    @property
    def doubts(self) -> bool:
        """Whether somebody is kept in reserve, since it is doubted that it is gone."""
        return bool(self._shrink_guard)

    @property
    def aside(self) -> Collection[Upstream]:
        """Those that are ejected, since they failed."""
        return self._outliers.ejected

    @property
    def warms(self) -> bool:
        """Whether somebody has not come to the whole weight yet."""
        return bool(self._slow_start)

    @property
    def leaves(self) -> Collection[Drain]:
        """How upstreams left that may have connections still, each way once."""
        return self._draining.kinds

    def amend(
        self,
        put: Iterable[tuple[Instance, Load]] = (),
        drop: Iterable[Identity] = (),
    ) -> None:
        """These joined or were altered, each with its identity's load; those left."""
        shift = self._members.amend(put, drop)
        for each in shift.moved:
            self._outliers.trust(each)  # a new chance at another place
        newcomers = [each for each in shift.gained if not self._shrink_guard.drop(each)]
        # Of one that we saw fail ourselves it is believed that it is out.
        odd = [each for each in shift.lost if each not in self._outliers]
        for each in shift.touched:
            self._judged(each)
        self._doubt(odd, shift.before)
        for each in shift.touched:
            if not each.serving:
                self._part(each)
        self._welcome(newcomers if shift.before else [])
        self._trust_surplus()

    def _judged(self, upstream: Upstream) -> None:
        """Consul says something of it, maybe the same as before."""
        self._unselected.discard(upstream)
        if upstream.serving:
            self._draining.end(upstream.load)
            self._slow_start.weigh(upstream, self._seconds())
        else:
            self._outliers.trust(upstream)  # no trial while Consul says no
            self._slow_start.end(upstream)
        self._settle(upstream)

    def _doubt(self, lost: Iterable[Upstream], before: int) -> None:
        """Keep those in reserve of whom it is hard to believe that they are gone."""
        after = len(self._members.candidates)
        kept = self._shrink_guard.consider(lost, before, after, self._seconds())
        for each in kept:
            self._settle(each)
        if kept:
            self._on_event(
                PoolEvent(
                    kind=EventKind.SUSPECT,
                    query=self.question,
                    instances=tuple(each.instance for each in kept),
                    total=before,
                    seconds=self._selection.caution.hold,
                )
            )

    def _part(self, upstream: Upstream) -> None:
        """Let go of one that does not serve, unless that is doubted."""
        verdict = upstream.verdict
        if not self._shrink_guard.may_err(verdict) and self._shrink_guard.drop(
            upstream
        ):
            self._settle(upstream)
        if upstream in self._shrink_guard:
            return
        self._draining.begin(upstream.load, verdict, self._seconds())
        if verdict.is_gone:
            self._remove(upstream)
        elif verdict.is_unselected:
            self._unselected.add(upstream)

    def _remove(self, upstream: Upstream) -> None:
        self._scheduler.put(upstream, None)
        self._members.remove(upstream)
        self._unselected.discard(upstream)

    def _welcome(self, newcomers: Collection[Upstream]) -> None:
        """They joined others, or came back to them."""
        self.joins += len(newcomers)
        for each in newcomers:
            self._slow_start.begin(each, self._seconds())
        if len(self._slow_start) >= len(self._members.candidates):
            newcomers = [*newcomers, *self._slow_start.end_all()]  # they are all new
        for each in newcomers:
            self._settle(each)

    def clear(self) -> None:
        """Nobody needs it any more: let the loads of its members go."""
        for upstream in self.upstreams():
            self._shrink_guard.drop(upstream)
            self._outliers.trust(upstream)
            self._scheduler.put(upstream, None)
            upstream.standing = None  # it may be looked at still
        self._members.clear()
        self._unselected.clear()

    def lease(self, avoiding: Collection[Upstream] = ()) -> Lease | None:
        """The next connection, counted; to none of `avoiding`."""
        placement = self._scheduler
        if not avoiding:
            if self._shrink_guard and self._is_for_reserve():
                lease = self.lease_reserve()
                if lease is not None:
                    return lease
            # A client that another one failed has risked enough.
            due = self._outliers.due()
            if due is not None:
                return self._try(due)
        chosen = placement.choose(placement.serving, avoiding)
        return None if chosen is None else Lease(chosen, self, on_trial=False)

    def probe(self) -> Lease | None:
        """The next connection, if it is to try an ejected one whose time is over."""
        due = self._outliers.due()
        return None if due is None else self._try(due)

    def _try(self, ejected: Upstream) -> Lease:
        lease = Lease(ejected, self, on_trial=True)
        self._outliers.begin(lease)
        return lease

    def _is_for_reserve(self) -> bool:
        """Whether the next one goes to those in doubt, though some are left.

        If these are so few that all that others had would be too much for them, as
        when instances come back one by one to an agent that had lost them; and as
        long as connecting does not show that those in doubt are gone indeed.
        """
        left, doubted = len(self._members.candidates), len(self._shrink_guard)
        total = left + doubted
        is_few = left <= _FEW_LEFT * total and self._shrink_guard.are_sound
        return is_few and self._chance() * total >= left

    def lease_reserve(self, avoiding: Collection[Upstream] = ()) -> Lease | None:
        """The same of those in doubt, for when there is nobody else."""
        placement = self._scheduler
        chosen = placement.choose(placement.reserve, avoiding)
        return None if chosen is None else Lease(chosen, self, on_trial=False)

    def lease_ejected(self, avoiding: Collection[Upstream] = ()) -> Lease | None:
        """The same of ejected ones, which are the last resort."""
        placement = self._scheduler
        chosen = placement.choose(placement.ejected, avoiding)
        return None if chosen is None else self._try(chosen)

    def waits(
        self, avoiding: Collection[Upstream] = (), *, reserve: bool = False
    ) -> bool:
        """Whether there is one, and none of `avoiding`, that just has no place free."""
        placement = self._scheduler
        tier = placement.reserve if reserve else placement.serving
        return placement.waits(tier, avoiding)

    def leave(self, upstream: Upstream) -> Drain | None:
        """Since when `upstream` gets nothing any more, unless it does."""
        return self._draining.find(upstream.load)

    def learn(self, lease: Lease, outcome: Outcome) -> None:
        """A connection showed this of its upstream."""
        upstream = lease.upstream
        if not upstream.instance.is_at(*lease.instance.location):
            # What was at its old address; where it is now is yet to be probed.
            self._outliers.abandon_probe(lease)
            return
        if upstream in self._shrink_guard:
            spoiled = (
                outcome is Outcome.EARLY_CLOSE and self._selection.patience.spoiled
            )
            if outcome is Outcome.REFUSED or spoiled:
                self._shrink_guard.disproved += 1
                self._confirm(upstream, "connections to it fail")
            return
        candidates = self._members.candidates
        if upstream not in candidates:
            return
        ruling = self._outliers.learn(lease, outcome, len(candidates))
        if ruling is Ruling.EJECT:
            self._ejected(upstream, self._outliers.eject(upstream))
        elif ruling is Ruling.TRUST:
            if not self.is_usable:
                self._outliers.hasten()
            self._trust(upstream, "a connection succeeded")

    def eject(self, identity: Identity) -> str | None:
        """Eject one as if it had failed: why it cannot be, or nothing if it is.

        None if it is no member.
        """
        upstream = self._members.all.get(identity)
        if upstream is None:
            return None
        count = len(self._members.candidates)
        if upstream not in self._members.candidates:
            state = self.state(upstream)
            return f"it does not serve: {state.standing.value}, {state.reason}"
        if upstream in self._outliers:
            return f"it is {self._outliers.in_words(upstream)}"
        if not self._outliers.others_suffice(count):
            serving = count - len(self._outliers.ejected)
            return (
                f"{serving} of {count} upstreams serve; at most half may be ejected"
                " where a mapping has no other pool that serves"
            )
        self._ejected(upstream, self._outliers.eject_manually(upstream))
        return ""

    def _ejected(self, upstream: Upstream, ejection: Ejection) -> None:
        before = upstream.standing
        self._settle(upstream)
        self._tell(
            EventKind.EJECTED, upstream, ejection.reason, before, ejection.seconds
        )

    def _tell(
        self,
        kind: EventKind,
        upstream: Upstream,
        reason: str,
        before: Standing | None,
        seconds: float | None = None,
    ) -> None:
        event = UpstreamEvent(
            kind=kind,
            query=self.question,
            instance=upstream.instance,
            reason=reason,
            before=before,
            after=upstream.standing,
            seconds=seconds,
        )
        self._on_event(event)

    def ejection(self, upstream: Upstream) -> Ejection:
        """Why an ejected upstream is ejected, since when and until when."""
        return self._outliers.ejection(upstream)

    def reevaluate(self, identity: Identity) -> bool:
        """An operator has thought otherwise of one; whether it is a member."""
        upstream = self._members.all.get(identity)
        if upstream is None or upstream.verdict.is_gone:
            return False
        self.amend([(upstream.instance, upstream.load)])
        return True

    def state(self, upstream: Upstream) -> StandingInfo:
        """How a member stands, and why."""
        standing = upstream.standing or upstream.verdict.standing
        reason = upstream.verdict.reason
        if standing is Standing.EJECTED:
            reason = self._outliers.in_words(upstream)
        return StandingInfo(standing, reason, upstream.since)

    def abandon_probe(self, lease: Lease) -> None:
        """A connection that may be a probe showed nothing."""
        self._outliers.abandon_probe(lease)

    def tend(self) -> Iterator[None]:
        """Do what is due by now, step by step."""
        now = self._seconds()
        for each in self._shrink_guard.over(now) if self._shrink_guard else ():
            if each in self._shrink_guard:  # or something was heard of it meanwhile
                self._confirm(each, "Consul keeps saying so")
                yield
        for each in tuple(self._slow_start):
            if each in self._slow_start:
                self._slow_start.tend(each, now)
                self._settle(each)
            yield
        self._draining.tend()
        for each in [each for each in self._unselected if not each.load.open]:
            self._remove(each)

    def _confirm(self, upstream: Upstream, why: str) -> None:
        """A suspect upstream is down or gone, as Consul says."""
        before = upstream.standing
        self._shrink_guard.drop(upstream)
        self._settle(upstream)
        self._part(upstream)
        reason = f"{upstream.verdict.reason}; {why}"
        self._tell(EventKind.CONFIRMED, upstream, reason, before)

    def _trust(self, upstream: Upstream, why: str) -> None:
        before = upstream.standing
        self._outliers.trust(upstream)
        self._settle(upstream)
        self._welcome([upstream])
        self._tell(EventKind.RESTORED, upstream, why, before)

    def _trust_surplus(self) -> None:
        for each in self._outliers.surplus(len(self._members.candidates)):
            self._trust(each, "too many others left")

    def _settle(self, upstream: Upstream) -> None:
        """Let it have what its standing allows."""
        placement, tier = self._scheduler, None
        standing = upstream.verdict.standing
        if upstream in self._shrink_guard:
            tier, standing = placement.reserve, Standing.DOUBTED
        elif upstream in self._outliers:
            tier, standing = placement.ejected, Standing.EJECTED
        elif upstream in self._members.candidates:
            tier = placement.serving
            if upstream in self._slow_start:
                standing = Standing.WARMING
        placement.put(upstream, tier)
        if standing is not upstream.standing:
            upstream.standing, upstream.since = standing, self._seconds()
