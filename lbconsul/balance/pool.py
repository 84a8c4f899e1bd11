"""A pool: the upstreams that one `PoolSpec` selects, and which of them is next."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set

from attrs import Factory, define, evolve, field

from lbconsul.balance.draining import Draining
from lbconsul.balance.events import EventKind, PoolEvent, RegistryEvent, UpstreamEvent
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.membership import Membership
from lbconsul.balance.outlier import Ejection, Outliers, Ruling
from lbconsul.balance.own_checks import CheckKey, PoolChecks
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.scheduler import Scheduler
from lbconsul.balance.shrink_guard import ShrinkGuard
from lbconsul.balance.slow_start import SlowStart
from lbconsul.balance.standing import GONE, Drain, Standing, StandingInfo, Verdict
from lbconsul.balance.upstream import Lease, Load, Outcome, Upstream
from lbconsul.balance.weighted import Chance

#: If the confirmed upstreams are at most this fraction of the pool, suspect ones get
#: connections too.
_FEW_LEFT = 0.2


@define(eq=False)
class Pool:
    """The upstreams of one `PoolSpec`, their standings, and the leases on them."""

    _selection: PoolSpec
    _scheduler: Scheduler
    _outliers: Outliers
    _seconds: Callable[[], float]
    #: Called with each event of an upstream, or of the pool.
    _on_event: Callable[[RegistryEvent], None] = lambda event: None
    _chance: Chance = lambda: 0.0
    #: The registrations that an operator has drained, with their CreateIndex.
    _drained: Mapping[Identity, int] = Factory(dict)
    #: The gateway's own checks of its upstreams; None: there are none.
    checks: PoolChecks | None = None
    _members: Membership = field(init=False)
    _shrink_guard: ShrinkGuard = field(init=False)
    _slow_start: SlowStart = field(init=False)
    _draining: Draining = Factory(Draining)
    #: How many upstreams have joined, or come back, while others served.
    joins: int = 0
    #: Chooses an upstream for an ordinary connection; None while any upstream is
    #: suspect or ejected, for then `lease` must be asked.
    choose: Callable[[], Upstream | None] | None = field(init=False)
    #: Chooses one for an ordinary connection with a key; not to be called then either.
    choose_for: Callable[[HashKey], Upstream | None] = field(init=False)
    #: The upstreams that Consul still lists but the rules no longer select: they are
    #: shown until their connections are closed.
    _unselected: set[Upstream] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self._members = Membership(
            self._selection.rules, self._drained, self._gone(), self.checks
        )
        self._shrink_guard = ShrinkGuard(self._selection.caution)
        self._slow_start = SlowStart(self._selection.slow_start)
        self.choose = self._scheduler.serving.choose
        self.choose_for = self._scheduler.serving.choose_for

    def _gone(self) -> Verdict:
        """The verdict on an instance that is no longer in Consul's answer."""
        if not self._selection.query.filter:
            return GONE
        # Consul does not say which of the two it is.
        return evolve(GONE, reason="deregistered, or no longer matched by filter=")

    def __len__(self) -> int:
        return len(self._members.all)

    def holds(self, upstream: Upstream) -> bool:
        """Whether `upstream` is a member of this pool."""
        return self._members.all.get(upstream.instance.identity) is upstream

    def upstreams(self) -> Collection[Upstream]:
        """Every upstream, whatever its standing."""
        return self._members.all.values()

    @property
    def query(self) -> ServiceQuery:
        """The query whose answer fills the pool."""
        return self._selection.query

    @property
    def spec(self) -> PoolSpec:
        """What identifies the pool."""
        return self._selection

    @property
    def refused_by_checks(self) -> Set[Identity]:
        """The instances that Consul lets serve, and own checks do not."""
        checks = self.checks
        if checks is None or checks.is_open:
            return frozenset()
        refused = checks.failing | checks.awaiting
        return frozenset(each.instance.identity for each in refused)

    @property
    def awaits_checks(self) -> bool:
        """Whether nothing serves before the first results of own checks."""
        checks = self.checks
        waits = checks is not None and bool(checks.awaiting)
        return waits and not self._members.candidates

    @property
    def candidates(self) -> Collection[Upstream]:
        """The upstreams that Consul lets serve."""
        return self._members.candidates

    @property
    def is_usable(self) -> bool:
        """Whether any upstream that Consul lets serve is not ejected."""
        return len(self._members.candidates) > len(self._outliers.ejected)

    @property
    def takes_share(self) -> bool:
        """Whether it gets its share of connections beside other pools.

        It does if it is usable, or if one of them is to probe an ejected upstream.
        """
        return self.is_usable or self._outliers.may_probe

    @property
    def has_suspects(self) -> bool:
        """Whether any upstream is suspect."""
        return bool(self._shrink_guard)

    @property
    def ejected(self) -> Collection[Upstream]:
        """The ejected upstreams."""
        return self._outliers.ejected

    @property
    def warms(self) -> bool:
        """Whether any upstream is in slow start."""
        return bool(self._slow_start)

    @property
    def leaves(self) -> Collection[Drain]:
        """The distinct drains of upstreams that may still have connections."""
        return self._draining.kinds

    def apply(
        self,
        put: Iterable[tuple[Instance, Load]] = (),
        drop: Iterable[Identity] = (),
    ) -> None:
        """Apply an answer: `put` joined or changed, each with its load; `drop` left."""
        shift = self._members.apply(put, drop)
        for each in shift.moved:
            self._outliers.trust(each)  # a new address has not failed yet
        newcomers = [each for each in shift.gained if not self._shrink_guard.drop(each)]
        # An ejected upstream failed here too: that confirms Consul's answer.
        odd = [each for each in shift.lost if each not in self._outliers]
        for each in shift.touched:
            self._judged(each)
        self._doubt(odd, shift.before)
        for each in shift.touched:
            if not each.serving:
                self._part(each)
        self._welcome(newcomers if shift.before else [])
        self._trust_surplus()
        if self.checks is not None:
            self._turn_checks(self.checks)

    def _turn_checks(self, checks: PoolChecks) -> None:
        """Open or close the pool if the results of own checks demand it."""
        failing = tuple(checks.failing)
        if not checks.turn(len(self._members.candidates)):
            return
        self.apply([(each.instance, each.load) for each in failing])
        self._on_event(
            PoolEvent(
                kind=EventKind.FAIL_OPEN if checks.is_open else EventKind.FAIL_CLOSED,
                query=self.query,
                instances=tuple(each.instance for each in failing),
                total=len(self._members.candidates),
            )
        )

    def _judged(self, upstream: Upstream) -> None:
        """Follow the verdict on an upstream, which may be the same as before."""
        self._unselected.discard(upstream)
        if upstream.serving:
            self._draining.end(upstream.load)
            self._slow_start.weigh(upstream, self._seconds())
        else:
            self._outliers.trust(upstream)  # no probe while Consul says no
            self._slow_start.end(upstream)
        self._settle(upstream)

    def _doubt(self, lost: Iterable[Upstream], before: int) -> None:
        """Keep the lost upstreams that the shrink guard holds back as suspect."""
        after = len(self._members.candidates)
        kept = self._shrink_guard.consider(lost, before, after, self._seconds())
        for each in kept:
            self._settle(each)
        if kept:
            self._on_event(
                PoolEvent(
                    kind=EventKind.SUSPECT,
                    query=self.query,
                    instances=tuple(each.instance for each in kept),
                    total=before,
                    seconds=self._selection.caution.hold,
                )
            )

    def _part(self, upstream: Upstream) -> None:
        """Drain or remove an upstream that does not serve, unless it is suspect."""
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
        """Begin the slow start of upstreams that joined others or came back."""
        self.joins += len(newcomers)
        for each in newcomers:
            self._slow_start.begin(each, self._seconds())
        if len(self._slow_start) >= len(self._members.candidates):
            newcomers = [*newcomers, *self._slow_start.end_all()]  # all are new
        for each in newcomers:
            self._settle(each)

    def clear(self) -> None:
        """No mapping uses the pool any more: release the loads of its members."""
        for upstream in self.upstreams():
            self._shrink_guard.drop(upstream)
            self._outliers.trust(upstream)
            self._scheduler.put(upstream, None)
            upstream.standing = None  # other objects may still refer to it
        self._members.clear()
        self._unselected.clear()

    def lease(
        self, avoiding: Collection[Upstream] = (), key: HashKey | None = None
    ) -> Lease | None:
        """Lease the next upstream, none of `avoiding`; None if none is available.

        With a `key`, the one for this key.
        """
        placement = self._scheduler
        if not avoiding:
            if self._shrink_guard and self._is_for_reserve():
                lease = self.lease_reserve(key=key)
                if lease is not None:
                    return lease
            # A retry must not be a probe too: its client already met one failure.
            due = self._outliers.due()
            if due is not None:
                return self._try(due)
        chosen = placement.choose(placement.serving, avoiding, key)
        return None if chosen is None else Lease(chosen, self, probing=False)

    def lease_instance(self, identity: Identity) -> Lease | None:
        """Lease this instance's upstream; None if it does not serve, or is full."""
        upstream, placement = self._members.all.get(identity), self._scheduler
        if upstream is None or upstream.tier is not placement.serving:
            return None
        if placement.is_full(upstream):
            return None
        return Lease(upstream, self, probing=False)

    def keeps(self, identity: Identity, since: float) -> Upstream | None:
        """The upstream of this instance, if it may have further clients of its own.

        Beside those that serve, suspect ones may, and those that an operator drains:
        by hand, by maintenance or by weight 0, later than at `since`.
        """
        upstream, placement = self._members.all.get(identity), self._scheduler
        if upstream is None:
            return None
        if upstream.tier is placement.serving or upstream.tier is placement.reserve:
            return upstream
        drains = upstream.verdict.deliberate and upstream not in self._outliers
        # Not `leave`: that is for connections, of which it may have none just now.
        return upstream if drains and upstream.since > since else None

    def is_full(self, upstream: Upstream) -> bool:
        """Whether an upstream is at its connection limit."""
        return self._scheduler.is_full(upstream)

    @property
    def serving(self) -> tuple[Upstream, ...]:
        """The upstreams that serve, full ones included."""
        tier = self._scheduler.serving
        return tuple(each for each in self._members.candidates if each.tier is tier)

    def probe(self) -> Lease | None:
        """A lease that probes an ejected upstream, if one is due."""
        due = self._outliers.due()
        return None if due is None else self._try(due)

    def _try(self, ejected: Upstream) -> Lease:
        lease = Lease(ejected, self, probing=True)
        self._outliers.begin(lease)
        return lease

    def _is_for_reserve(self) -> bool:
        """Whether the next connection goes to a suspect upstream, drawn by chance.

        Only while the confirmed upstreams are too few for the whole load, as when
        instances come back one by one to an agent that lost them, and while no
        connections show that the suspect upstreams are gone indeed.
        """
        left, suspects = len(self._members.candidates), len(self._shrink_guard)
        total = left + suspects
        is_few = left <= _FEW_LEFT * total and self._shrink_guard.are_sound
        return is_few and self._chance() * total >= left

    def lease_reserve(
        self, avoiding: Collection[Upstream] = (), key: HashKey | None = None
    ) -> Lease | None:
        """Lease a suspect upstream, none of `avoiding`, where no other is left."""
        placement = self._scheduler
        chosen = placement.choose(placement.reserve, avoiding, key)
        return None if chosen is None else Lease(chosen, self, probing=False)

    def lease_ejected(self, avoiding: Collection[Upstream] = ()) -> Lease | None:
        """Lease an ejected upstream, none of `avoiding`, as the last resort."""
        placement = self._scheduler
        chosen = placement.choose(placement.ejected, avoiding)
        return None if chosen is None else self._try(chosen)

    def waits(
        self, avoiding: Collection[Upstream] = (), *, reserve: bool = False
    ) -> bool:
        """Whether an upstream, none of `avoiding`, is merely at its connection limit.

        `reserve`: look at suspect upstreams instead of serving ones.
        """
        placement = self._scheduler
        tier = placement.reserve if reserve else placement.serving
        return placement.waits(tier, avoiding)

    def leave(self, upstream: Upstream) -> Drain | None:
        """The drain of `upstream`, or None."""
        return self._draining.find(upstream.load)

    def learn(self, lease: Lease, outcome: Outcome) -> None:
        """Act on what a connection showed of its upstream."""
        upstream = lease.upstream
        if not upstream.instance.is_at(*lease.instance.location):
            # The outcome is of an old address; the present one is yet to be probed.
            self._outliers.abandon_probe(lease)
            return
        if upstream in self._shrink_guard:
            early_close = (
                outcome is Outcome.EARLY_CLOSE and self._selection.patience.early_close
            )
            if outcome is Outcome.REFUSED or early_close:
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

    def eject(self, identity: Identity, slow: str = "", times: int = 0) -> str | None:
        """Eject an instance as if it had failed, on an operator's order.

        Or since it is `slow`, which says how slow; it was ejected for that so many
        `times` in a row.

        Empty if it is ejected now, else why it cannot be; None if it is no member.
        """
        upstream = self._members.all.get(identity)
        if upstream is None:
            return None
        count = len(self._members.candidates)
        if upstream not in self._members.candidates:
            state = self.state(upstream)
            return f"it is not serving: {state.standing.value}, {state.reason}"
        if upstream in self._outliers:
            return f"it is already {self._outliers.in_words(upstream)}"
        if not self._outliers.others_suffice(count):
            serving = count - len(self._outliers.ejected)
            return (
                f"{serving} of {count} upstreams serve; at most half may be ejected"
                " where a mapping has no other pool that serves"
            )
        ejection = self._outliers.eject_unasked(upstream, slow, times)
        self._ejected(upstream, ejection)
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
            query=self.query,
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
        """Judge an instance again, since an operator drained or undrained it.

        False if it is no member, or left.
        """
        upstream = self._members.all.get(identity)
        if upstream is None or upstream.verdict.is_gone:
            return False
        self.apply([(upstream.instance, upstream.load)])
        return True

    def recheck(self, keys: Iterable[CheckKey]) -> None:
        """Judge the instances again whose own checks have other results."""
        found = (self._members.all.get(each.identity) for each in keys)
        put = [
            (each.instance, each.load)
            for each in found
            if each is not None and not each.verdict.is_gone
        ]
        if put:
            self.apply(put)

    def member(self, identity: Identity) -> Upstream | None:
        """The upstream of an instance; None if it is no member."""
        return self._members.all.get(identity)

    def state(self, upstream: Upstream) -> StandingInfo:
        """The standing of a member, why, and since when."""
        standing = upstream.standing or upstream.verdict.standing
        reason = upstream.verdict.reason
        if standing is Standing.EJECTED:
            reason = self._outliers.in_words(upstream)
        return StandingInfo(standing, reason, upstream.since)

    def abandon_probe(self, lease: Lease) -> None:
        """A connection that may be a probe proved nothing."""
        self._outliers.abandon_probe(lease)

    def tick(self) -> Iterator[None]:
        """Do what is due, one step per iteration: suspects, slow start, drains."""
        now = self._seconds()
        for each in self._shrink_guard.over(now) if self._shrink_guard else ():
            if each in self._shrink_guard:  # unless an answer came between two steps
                self._confirm(each, "Consul did not bring it back")
                yield
        for each in tuple(self._slow_start):
            if each in self._slow_start:
                self._slow_start.tick(each, now)
                self._settle(each)
            yield
        self._draining.tick()
        if self.checks is not None:  # another pool may have come or gone
            self._turn_checks(self.checks)
        for each in [each for each in self._unselected if not each.load.open]:
            self._remove(each)

    def _confirm(self, upstream: Upstream, why: str) -> None:
        """A suspect upstream is critical or gone indeed: drain or remove it."""
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
            self._trust(each, "too few others are left")

    def _settle(self, upstream: Upstream) -> None:
        """Put an upstream into its tier, and note its standing."""
        placement, tier = self._scheduler, None
        standing = upstream.verdict.standing
        if upstream in self._shrink_guard:
            tier, standing = placement.reserve, Standing.SUSPECT
        elif upstream in self._outliers:
            tier, standing = placement.ejected, Standing.EJECTED
        elif upstream in self._members.candidates:
            tier = placement.serving
            if upstream in self._slow_start:
                standing = Standing.WARMING
        placement.put(upstream, tier)
        if standing is not upstream.standing:
            upstream.standing, upstream.since = standing, self._seconds()
            upstream.open_then = upstream.load.open
            is_usual = not (self._shrink_guard or self._outliers.ejected)
            self.choose = placement.serving.choose if is_usual else None
