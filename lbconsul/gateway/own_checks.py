"""The gateway's own checks: which instances, and what follows from their results."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field
from twisted.application.service import Service

from lbconsul.balance.events import Change, EventKind, PoolEvent, UpstreamEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import CheckKey
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.standing import Standing, evaluate
from lbconsul.checks.handover import Inherited, to_state
from lbconsul.config.check_spec import CheckSpec
from lbconsul.gateway.availability import Availability
from lbconsul.gateway.interfaces import DataPlane, EventObserver
from lbconsul.proxy.upstream_log import UpstreamLog

if TYPE_CHECKING:
    from lbconsul.checks.checker import Checker, Target

#: More instances of one service that turn at the same moment make one event.
_SINGLE = 20

#: Looks of the checker between two looks for pools that are gone: five seconds.
_LOOKS = 100


@define(eq=False)
class OwnChecks(Service):
    """Checks the instances that Consul lets serve, where a mapping has ``check``.

    There is one checker, in this process: workers are told the results.
    """

    _reactor: Any
    _data_plane: DataPlane
    _observer: EventObserver
    _availability: Availability
    _chance: Callable[[], float]
    _rate: float
    _inherited: Inherited = Factory(Inherited)
    #: None: nothing is checked.
    _checker: "Checker | None" = None
    _log: UpstreamLog = field(init=False)
    #: By pool and instance: its check.  And the pools that each check is of.
    _keys: dict[PoolSpec, dict[Identity, CheckKey]] = Factory(dict)
    _users: dict[CheckKey, dict[PoolSpec, None]] = Factory(dict)
    #: What turned since the last look: whether its check passed before.
    _turned: "dict[Target, bool | None]" = Factory(dict)
    #: Results that are going to be passed on, whether or not anything turned.
    _changes: dict[CheckKey, str | None] = Factory(dict)
    _looks: int = 0

    def __attrs_post_init__(self) -> None:
        self._log = UpstreamLog(self._reactor)

    @property
    def checker(self) -> "Checker | None":
        """The checker; None: nothing is checked."""
        return self._checker

    def target(self, pool: Pool, instance: Instance) -> "Target | None":
        """What is known of the check of an instance; None if it has none."""
        if self._checker is None or pool.checks is None:
            return None
        return self._checker.find(CheckKey.of(pool.checks.rules.check, instance))

    def inherit(self, state: object) -> None:
        """Begin with what a predecessor knew."""
        self._inherited = Inherited.of(state)

    def state(self) -> dict[str, Any]:
        """The states for a successor, as JSON can hold it."""
        known = (
            (each.key, each.reason)
            for each in self._checker or ()
            if each.state.is_up is not None
        )
        return to_state(known)

    def use_rate(self, rate: float) -> None:
        """Begin at most this many checks a second."""
        self._rate = rate
        if self._checker is not None:
            self._checker.use_rate(rate)

    def startService(self) -> None:
        super().startService()
        self.learn()
        if self._checker is not None:
            self._checker.start()

    def stopService(self) -> None:
        super().stopService()
        if self._checker is not None:
            self._checker.stop()
        self._log.stop()

    def learn(self) -> None:
        """Look at all pools: mappings were added."""
        for _ in self.learning():
            pass

    def learning(self) -> Iterator[object]:
        """Look at all pools in steps: check what they need, and nothing else."""
        registry = self._data_plane.registry
        pools = {each.spec: each for each in registry.checked}
        for spec, pool in pools.items():  # the new ones first: they may share a check
            self._keys.setdefault(spec, {})
            for instance in tuple(registry.known(pool.query)):
                self._look_at(pool, instance)
                yield False
            # Consul may have answered between two steps.
            known = {each.identity for each in registry.known(pool.query)}
            for identity in self._keys.get(spec, {}).keys() - known:
                self._drop(spec, identity)
                yield False
        for spec in self._keys.keys() - pools.keys():
            for identity in tuple(self._keys[spec]):
                self._drop(spec, identity)
                yield False
            self._keys.pop(spec, None)
        if self._checker is not None:
            self._checker.keep_means(each.check for each in self._users)  # type: ignore[misc]
        self._pass_on()

    def on_change(self, query: ServiceQuery, change: Change) -> None:
        """Called by the gateway: Consul has answered, and the pools have applied it."""
        registry = self._data_plane.registry
        for pool in registry.checked_pools(query):
            is_new = pool.spec not in self._keys  # a route that a tag has made
            known = tuple(registry.known(query)) if is_new else change.put
            for instance in known:
                self._look_at(pool, instance)
            for gone in change.left:
                self._drop(pool.spec, gone.identity)
        if self._changes:
            self._pass_on()

    def _look_at(self, pool: Pool, instance: Instance) -> None:
        """An instance of the last answer: check it if Consul lets it serve."""
        spec, identity = pool.spec, instance.identity
        assert spec.rules.check is not None
        standing = evaluate(instance, spec.rules).standing
        if standing is not Standing.SERVING or not instance.address:
            self._drop(spec, identity)
            return
        key = CheckKey.of(spec.rules.check.check, instance)
        keys = self._keys.setdefault(spec, {})
        if keys.get(identity) != key:
            self._drop(spec, identity)
            keys[identity] = key
        self._users.setdefault(key, {})[spec] = None
        target = self._begin(key, instance)
        if target.instance is not instance:
            target.instance = instance
        if target.state.is_up and self._is_awaited(key):
            self._changes[key] = ""

    def _begin(self, key: CheckKey, instance: Instance) -> "Target":
        """The target of a check, which is made if there is none."""
        checker = self._checker
        if checker is None:
            checker = self._checker = self._make_checker()
        target = checker.find(key)
        if target is None:
            reason = self._inherited.pop(key)
            is_up = None if reason is None else not reason
            assert isinstance(key.check, CheckSpec)
            target = checker.add(key, key.check, instance, is_up)
            if reason:
                target.reason, target.result = reason, reason
                self._changes[key] = reason
        return target

    def _make_checker(self) -> "Checker":
        # Imported here: few gateways need it.
        from lbconsul.checks.checker import Checker

        checker = Checker(
            self._reactor, self._chance, self._on_turned, self._on_looked, self._rate
        )
        if self.running:
            checker.start()
        return checker

    def _drop(self, spec: PoolSpec, identity: Identity) -> None:
        """The check of a pool's instance is over, if it had one."""
        key = self._keys.get(spec, {}).pop(identity, None)
        if key is None:
            return
        users = self._users[key]
        del users[spec]
        if not users:
            del self._users[key]
            assert self._checker is not None
            target = self._checker.find(key)
            if target is not None:
                self._turned.pop(target, None)
            self._checker.remove(key)
            self._changes.pop(key, None)
            if key in self._data_plane.registry.check_results:
                self._changes[key] = None

    def _is_awaited(self, key: CheckKey) -> bool:
        """Whether a pool lets the instance serve only once its check has passed."""
        if self._data_plane.registry.check_results.get(key) == "":
            return False
        return any(
            each.rules.check is not None and each.rules.check.awaits
            for each in self._users.get(key, ())
        )

    def _on_turned(self, target: "Target", before: bool | None) -> None:
        """Called by the checker: the state of a target has changed."""
        self._turned.setdefault(target, before)
        if target.reason or before is False or self._is_awaited(target.key):
            self._changes[target.key] = target.reason

    def _on_looked(self) -> None:
        """Called by the checker, some times a second."""
        if self._changes or self._turned:
            self._pass_on()
        self._looks += 1
        if self._looks >= _LOOKS:
            self._looks = 0
            # Pools go with the last connection of a mapping that was removed, and come
            # with routes that tags make.
            specs = {each.spec for each in self._data_plane.registry.checked}
            if self._keys.keys() != specs:
                self._data_plane.sweeper.begin(self.learning())

    def _pass_on(self) -> None:
        """Apply what has changed, in all processes, and tell of it."""
        changes, self._changes = self._changes, {}
        turned, self._turned = self._turned, {}
        standings = {each: self._standing(each) for each in turned}
        if changes:
            for query in self._data_plane.set_check_results(changes):
                self._availability.look(query)
        grouped = dict[tuple[EventKind, ServiceQuery], list[UpstreamEvent]]()
        for target, was_up in turned.items():
            if bool(target.state.is_up) is (was_up is not False):
                continue  # a first success is no news, nor is what turned back
            event = self._event(target, standings[target])
            if event is not None and event.query is not None:
                grouped.setdefault((event.kind, event.query), []).append(event)
        for (kind, query), events in grouped.items():
            self._tell(kind, query, events)

    def _tell(
        self, kind: EventKind, query: ServiceQuery, events: list[UpstreamEvent]
    ) -> None:
        told: list[UpstreamEvent] | list[PoolEvent] = events
        if len(events) > _SINGLE:
            found = tuple(
                each.instance for each in events if isinstance(each.instance, Instance)
            )
            told = [PoolEvent(kind=kind, query=query, instances=found)]
        for event in told:
            self._log.tell(event)
            self._observer.on_event(event)

    def _standing(self, target: "Target") -> Standing | None:
        """The standing of a target in the first pool that it is in."""
        spec = next(iter(self._users.get(target.key, ())), None)
        if spec is None:
            return None
        upstream = self._data_plane.registry.pool(spec).member(target.key.identity)
        return None if upstream is None else upstream.standing

    def _event(self, target: "Target", before: Standing | None) -> UpstreamEvent | None:
        spec = next(iter(self._users.get(target.key, ())), None)
        if spec is None:
            return None
        return UpstreamEvent(
            kind=EventKind.UP if target.state.is_up else EventKind.DOWN,
            query=spec.query,
            instance=target.instance,
            reason=target.reason or f"own check: {target.result}",
            before=before,
            after=self._standing(target),
        )
