"""The registry: all pools, where Consul's answers and connections' outcomes meet."""

from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
)
from functools import partial

from attrs import Factory, define, field

from lbconsul.balance.consistent_hash import ConsistentHash
from lbconsul.balance.counter import ConnectionCounter, LocalCounter
from lbconsul.balance.events import Change, Changed, RegistryEvent
from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.outlier import Outliers
from lbconsul.balance.own_checks import CheckKey, PoolChecks, ResultChanges, Results
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    PoolSpec,
    ServiceQuery,
)
from lbconsul.balance.scheduler import Scheduler
from lbconsul.balance.token_index import TokenIndex
from lbconsul.balance.upstream import Load, TierPolicy
from lbconsul.balance.weighted import Chance


@define(eq=False)
class Registry:
    """All pools.

    `chance` yields numbers from 0 up to but without 1, and is the only source of
    chance.  `counter` counts connections, and `seconds` is the clock.  `on_change` is
    called with the change of each answer after the pools have applied it.  `on_event`
    is called with each event of a pool: an upstream is ejected or restored, or the
    shrink guard holds some back.  `on_reregistered` is called with drained instances
    that registered again, which ends their drain.
    """

    _chance: Chance
    _counter: ConnectionCounter = Factory(LocalCounter)
    _on_change: Callable[[ServiceQuery, Change], None] = lambda query, change: None
    _seconds: Callable[[], float] = lambda: 0.0
    _on_event: Callable[[RegistryEvent], None] = lambda event: None
    _on_reregistered: Callable[[tuple[Instance, ...]], None] = lambda instances: None
    #: What makes the policy of a name; an unknown name raises an error.
    _policies: Callable[[str], Callable[[Chance], TierPolicy]] = field(
        default=POLICIES.__getitem__, kw_only=True
    )
    _pools: dict[PoolSpec, Pool] = Factory(dict)
    _failovers: dict[FailoverSpec, Failover] = Factory(dict)
    #: The failovers that each pool is in.
    _users: dict[PoolSpec, list[Failover]] = Factory(dict)
    _known: dict[ServiceQuery, dict[Identity, Instance]] = Factory(dict)
    #: How many answers contain each identity.
    _answers: Counter[Identity] = Factory(Counter)
    _by_query: dict[ServiceQuery, list[Pool]] = Factory(dict)
    #: The known queries whose host names are still being resolved.
    _pending: set[ServiceQuery] = Factory(set)
    #: The registrations that an operator has drained, with their CreateIndex.
    _drained: dict[Identity, int] = Factory(dict)
    #: What names each instance in cookies; None: nothing does.
    _tokens: TokenIndex | None = None
    #: The results of the gateway's own checks, and the pools that each check is of.
    _results: dict[CheckKey, str] = Factory(dict)
    _checked: dict[Hashable, list[Pool]] = Factory(dict)

    def index(self, tokens: TokenIndex) -> None:
        """Keep this index of all instances up to date from now on."""
        self._tokens = tokens
        for each in self._answers:
            tokens.add(each)

    def pool(self, selection: PoolSpec) -> Pool:
        """The pool of `selection`, created at the first request for it."""
        pool = self._pools.get(selection)
        if pool is None:
            pool = self._pools[selection] = self._new_pool(selection)
            self._by_query.setdefault(selection.query, []).append(pool)
            if selection.rules.check is not None:
                check = selection.rules.check.check
                self._checked.setdefault(check, []).append(pool)
            pool.apply(self._loaded(self.known(selection.query)))
        return pool

    def answered(self, query: ServiceQuery) -> bool:
        """Whether it is known which instances serve `query`, even if none does.

        That is: Consul has answered (or its last answer was kept on disk, or the
        query is a fixed address), and each host name in the answer is resolved, has
        failed, or has timed out: after half a second if each pool has an upstream
        without it, else after ten.  Once true it stays true, whatever is queried,
        fails or is resolved later.

        Until then the gateway keeps clients waiting after a start, leaves them to its
        predecessor in a takeover, and says no to ``/readyz``.  To ask about one
        mapping, look first whether its pool has `candidates`: some instances may be
        known before all are.
        """
        return query in self._known and query not in self._pending

    def pending(self, query: ServiceQuery) -> bool:
        """Whether Consul has answered, but host names are still being resolved."""
        return query in self._pending

    def usable(self, query: ServiceQuery) -> bool:
        """Whether each pool of `query` has an upstream that Consul lets serve."""
        return all(pool.candidates for pool in self._pools_of(query))

    def known(self, query: ServiceQuery) -> Collection[Instance]:
        """The instances of the last answer to `query`."""
        return self._known.get(query, {}).values()

    def has_suspects(self, query: ServiceQuery) -> bool:
        """Whether the shrink guard holds back a part of the last answer."""
        return any(pool.has_suspects for pool in self._pools_of(query))

    def replace(
        self,
        query: ServiceQuery,
        instances: Iterable[Instance],
        *,
        pending: bool = False,
    ) -> Change:
        """Apply a whole answer; instances that remain keep their leases.

        `pending`: more instances may follow once their host names are resolved.
        """
        old = self._known.get(query, {})
        self._await(query, pending)
        new = {instance.identity: instance for instance in instances}
        joined, changed = [], []
        for identity, instance in new.items():
            known = old.get(identity)
            if known is None:
                joined.append(instance)
            elif known is not instance and known != instance:
                changed.append(Changed(known, instance))
        left = [gone for identity, gone in old.items() if identity not in new]
        self._known[query] = new
        self._count([each.identity for each in joined], 1)
        self._count([each.identity for each in left], -1)
        change = Change(tuple(joined), tuple(left), tuple(changed))
        put = change.put
        self._pass_on(query, put, [gone.identity for gone in left])
        self._on_change(query, change)
        if self._drained:
            self._renew(put)
        return change

    def _await(self, query: ServiceQuery, pending: bool) -> None:
        """Note whether instances may follow; an answered query stays answered."""
        if not pending:
            self._pending.discard(query)
        elif query not in self._known:
            self._pending.add(query)

    def _renew(self, instances: Iterable[Instance]) -> None:
        """End each drain whose instance has registered again."""
        reregistered = []
        for each in instances:
            created = self._drained.get(each.identity)
            # A lower index comes from a Consul server that lags behind.
            if created is None or each.created <= created:
                continue
            if created:
                del self._drained[each.identity]
                reregistered.append(each)
            else:  # it was drained before its CreateIndex was known
                self._drained[each.identity] = each.created
        if reregistered:
            self._on_reregistered(tuple(reregistered))

    def apply(
        self,
        query: ServiceQuery,
        put: Iterable[Instance],
        drop: Iterable[Identity],
        *,
        pending: bool = False,
    ) -> None:
        """Apply a change from another process: `put` joined or changed, `drop` left."""
        self._await(query, pending)
        known = self._known.setdefault(query, {})
        put, drop = tuple(put), tuple(drop)
        self._count([each for each in drop if known.pop(each, None)], -1)
        new = {instance.identity: instance for instance in put}
        self._count([each for each in new if each not in known], 1)
        known.update(new)
        self._pass_on(query, put, drop)

    def failover(self, spec: FailoverSpec) -> Failover:
        """The failover of `spec`, created at the first request for it."""
        failover = self._failovers.get(spec)
        if failover is None:
            fallback = self.pool(spec.fallback) if spec.fallback else None
            failover = self._failovers[spec] = Failover(
                str(spec.selections[0].query) if spec.selections else "no service",
                tuple(self.pool(each) for each in spec.selections),
                fallback,
                spec.failback_after,
                self._counter,
                self._seconds,
            )
            for selection in spec.all():
                self._users.setdefault(selection, []).append(failover)
        return failover

    def keep_only(
        self, specs: Collection[FailoverSpec], asked: Collection[ServiceQuery] = ()
    ) -> None:
        """Drop the pools, failovers and answers that none of `specs` needs.

        The answers to the queries `asked` are kept, too.
        """
        kept = {selection for spec in specs for selection in spec.all()}
        for selection in self._pools.keys() - kept:
            pool = self._pools.pop(selection)
            pool.clear()
            pools = self._by_query[selection.query]
            pools.remove(pool)
            if not pools:
                del self._by_query[selection.query]
            self._forget_checks(selection.rules, pool)
        queries = {selection.query for selection in kept}.union(asked)
        for query in self._known.keys() - queries:
            self._count(self._known.pop(query), -1)
            self._pending.discard(query)
        for spec in self._failovers.keys() - set(specs):
            failover = self._failovers.pop(spec)
            for selection in spec.all():
                self._users[selection].remove(failover)
                if not self._users[selection]:
                    del self._users[selection]

    def _forget_checks(self, rules: InstanceFilter, pool: Pool) -> None:
        if rules.check is None:
            return
        pools = self._checked[rules.check.check]
        pools.remove(pool)
        if not pools:
            del self._checked[rules.check.check]

    @property
    def checked(self) -> Iterator[Pool]:
        """The pools whose upstreams have own checks."""
        for pools in self._checked.values():
            yield from pools

    def checked_pools(self, query: ServiceQuery) -> list[Pool]:
        """Those of one query."""
        return [each for each in self._pools_of(query) if each.checks is not None]

    @property
    def check_results(self) -> Results:
        """The results of own checks that have consequences."""
        return self._results

    def set_check_results(self, changes: ResultChanges) -> set[ServiceQuery]:
        """Apply other results of own checks; the queries whose pools they concern."""
        by_check = dict[Hashable, list[CheckKey]]()
        for key, result in changes.items():
            if result is None:
                self._results.pop(key, None)
            else:
                self._results[key] = result
            by_check.setdefault(key.check, []).append(key)
        queries = set()
        for check, keys in by_check.items():
            for pool in tuple(self._checked.get(check, ())):
                pool.recheck(keys)
                queries.add(pool.query)
        return queries

    @property
    def drained(self) -> dict[Identity, int]:
        """The registrations that an operator has drained, with their CreateIndex."""
        return dict(self._drained)

    def set_drained(self, drained: Mapping[Identity, int]) -> None:
        """Replace the registrations that an operator has drained by these."""
        changed = dict(self._drained.items() ^ drained.items())
        self._drained.clear()
        self._drained.update(drained)
        for identity in changed:
            for pool in self._pools.values():
                pool.reevaluate(identity)

    def eject(self, identity: Identity) -> str:
        """Eject an instance in each pool as if it had failed, on an operator's order.

        Empty if a pool ejected it, else why none did.
        """
        said = [pool.eject(identity) for pool in self._pools.values()]
        reasons = [each for each in said if each is not None]
        if "" in reasons:
            return ""
        return reasons[0] if reasons else "no mapping selects it"

    def is_drained(self, identity: Identity) -> bool:
        """Whether Consul still has the registration that an operator drained."""
        created = self._drained.get(identity)
        found = (known.get(identity) for known in self._known.values())
        return created is not None and any(
            each is not None and each.is_registration(created) for each in found
        )

    def has(self, identity: Identity) -> bool:
        """Whether any of Consul's answers contains the instance."""
        return identity in self._answers

    def created(self, identity: Identity) -> int:
        """The CreateIndex of the instance's latest registration; 0 if unknown."""
        found = (known.get(identity) for known in self._known.values())
        return max((each.created for each in found if each is not None), default=0)

    def tick(self) -> Iterator[None]:
        """Do what is due, one step per iteration; called a few times a second."""
        self._counter.sync()
        for pool in tuple(self._pools.values()):
            yield from pool.tick()
            yield
        for failover in tuple(self._failovers.values()):
            failover.tick()
            yield

    def open_connections(self) -> int:
        """Open leases of this process, over all identities."""
        return self._counter.open_connections()

    def _new_pool(self, selection: PoolSpec) -> Pool:
        policy, chance = self._policies(selection.policy), self._chance
        if policy is ConsistentHash:
            policy = partial(ConsistentHash, bound=selection.hash_bound)
        ranks = policy(chance), policy(chance), policy(chance)
        placement = Scheduler(*ranks, selection.limit)
        elsewhere = partial(self._has_elsewhere, selection)
        rules = selection.rules.check
        return Pool(
            selection,
            placement,
            Outliers(
                selection.patience,
                chance,
                self._seconds,
                placement.is_full,
                elsewhere,
            ),
            self._seconds,
            self._on_event,
            self._chance,
            self._drained,
            None if rules is None else PoolChecks(rules, self._results, elsewhere),
        )

    def _has_elsewhere(self, selection: PoolSpec) -> bool:
        """Whether every failover that uses the pool has another usable one."""
        if not selection.patience.whole:
            return False
        pool, users = self._pools[selection], self._users.get(selection, ())
        return bool(users) and all(each.has_other_than(pool) for each in users)

    def _pass_on(
        self, query: ServiceQuery, put: Iterable[Instance], drop: Iterable[Identity]
    ) -> None:
        """Apply a change to the pools of `query`."""
        for pool in self._pools_of(query):
            pool.apply(self._loaded(put), drop)

    def _loaded(self, put: Iterable[Instance]) -> Iterator[tuple[Instance, Load]]:
        for instance in put:
            yield instance, self._counter.load(instance.identity)

    def _pools_of(self, query: ServiceQuery) -> Collection[Pool]:
        return self._by_query.get(query, ())

    def _count(self, identities: Iterable[Identity], answers: int) -> None:
        """Add `answers` to the number of answers that contain each identity."""
        counts, tokens = self._answers, self._tokens
        for identity in identities:
            count = counts[identity] + answers
            if tokens is not None and count == max(answers, 0):
                (tokens.add if count else tokens.remove)(identity)
            if count:
                counts[identity] = count
            else:
                del counts[identity]
