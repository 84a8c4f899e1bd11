"""Checks instances: begins what is due, ends what takes too long, keeps the states."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import Factory, define, field
from twisted.internet.task import LoopingCall

from lbconsul.balance.instance import Instance
from lbconsul.balance.own_checks import CheckKey
from lbconsul.checks.attempt import CheckAttempt, Connector, Means
from lbconsul.checks.schedule import Schedule, pause
from lbconsul.checks.state import CheckState
from lbconsul.config.check import Check
from lbconsul.config.check_spec import CheckSpec
from lbconsul.config.model import Mapping
from lbconsul.net.periodic import repeat
from lbconsul.net.poller import Poller, open_poller
from lbconsul.net.proxy_protocol import build_v1, build_v2
from lbconsul.text import clipped, decimal

#: Seconds between two looks at what is due.
EVERY = 0.05

#: The most checks under way at a time.
MOST_AT_ONCE = 500

#: The most characters of a result.
_LONGEST = 120

#: A check that shows nothing, for lack of a descriptor, is repeated after this many
#: seconds.
_PUT_OFF = 1.0


@define(eq=False)
class Target:
    """A check of one instance, and what it has shown.  Times are the reactor's."""

    key: CheckKey
    spec: CheckSpec
    instance: Instance
    state: CheckState
    #: Since when the state is what it is.
    since: float
    #: Why it failed when it turned to failing.
    reason: str = ""
    #: The latest result, how long it took, and when that was.
    result: str = ""
    duration: float | None = None
    at: float | None = None
    failures: int = 0
    #: The check under way, since when, and which of the addresses it is of.
    attempt: CheckAttempt | None = None
    begun: float = 0.0
    #: When the present address is given up.
    deadline: float = 0.0
    first: int = 0
    tried: int = 0

    @property
    def is_first(self) -> bool:
        """Whether there is no result yet."""
        return self.state.is_up is None


@define(eq=False)
class Checker:
    """The checks of one gateway.

    `on_turned` is called with each target whose state has changed, and the state
    before; `on_looked` after each look at what is due.
    """

    _reactor: Any
    _chance: Callable[[], float]
    _on_turned: Callable[[Target, bool | None], None]
    _on_looked: Callable[[], None] = lambda: None
    rate: float = 400.0
    #: How many checks have had a result.
    done: int = 0
    _targets: dict[CheckKey, Target] = Factory(dict)
    _schedule: Schedule[Target] = field(
        init=False, default=Factory(lambda self: Schedule(self.rate), takes_self=True)
    )
    _active: dict[Target, None] = Factory(dict)
    #: By specification: how its checks are made.
    _means: dict[CheckSpec, Means] = Factory(dict)
    _poller: Poller | None = None
    _loop: LoopingCall | None = None

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    @property
    def failing(self) -> int:
        """How many targets fail."""
        return sum(each.state.is_up is False for each in self)

    @property
    def under_way(self) -> int:
        """How many checks are under way."""
        return len(self._active)

    @property
    def late(self) -> float:
        """For how many seconds the check has waited that is due the longest."""
        return self._schedule.late(self._reactor.seconds())

    def find(self, key: CheckKey) -> Target | None:
        """The target with this key; None if there is none."""
        return self._targets.get(key)

    def use_rate(self, rate: float) -> None:
        """Begin at most this many checks a second."""
        self.rate = self._schedule.rate = rate

    def start(self) -> None:
        """Begin to check."""
        if self._loop is None:
            self._poller = open_poller(self._reactor)
            self._loop = repeat(self._reactor, EVERY, self._look)

    def stop(self) -> None:
        """End all checks."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None
        for target in tuple(self._active):
            self._cancel(target)
        if self._poller is not None:
            self._poller.stop()
            self._poller = None

    def add(
        self, key: CheckKey, spec: CheckSpec, instance: Instance, is_up: bool | None
    ) -> Target:
        """Check an instance from now on; `is_up` is what is known of it."""
        options, now = spec.options, self._reactor.seconds()
        state = CheckState(options.rise, options.fall, is_up)
        target = self._targets[key] = Target(key, spec, instance, state, now)
        if is_up is None:
            self._schedule.add(target, now, is_urgent=True)
        else:
            due = now + self._chance() * options.interval
            self._schedule.add(target, due, is_urgent=False)
        return target

    def remove(self, key: CheckKey) -> None:
        """Check an instance no more."""
        target = self._targets.pop(key)
        self._schedule.discard(target)
        self._cancel(target)

    def keep_means(self, specs: Iterable[CheckSpec]) -> None:
        """Forget how checks are made with all specifications but these."""
        for each in self._means.keys() - set(specs):
            del self._means[each]

    def _cancel(self, target: Target) -> None:
        self._active.pop(target, None)
        if target.attempt is not None:
            target.attempt.cancel()
            target.attempt = None

    def _look(self) -> None:
        now = self._reactor.seconds()
        for target in [each for each in self._active if now >= each.deadline]:
            attempt = target.attempt
            if attempt is not None:
                attempt.time_out(f"{decimal(target.spec.options.timeout)} s")
        room = MOST_AT_ONCE - len(self._active)
        for target in self._schedule.due(now, room):
            self._begin(target, now)
        self._on_looked()

    def _begin(self, target: Target, now: float) -> None:
        target.begun, target.tried = now, 0
        self._active[target] = None
        self._try(target, now)

    def _try(self, target: Target, now: float) -> None:
        """Check the next address of a target."""
        addresses = target.instance.addresses
        address = addresses[(target.first + target.tried) % len(addresses)]
        target.tried += 1
        target.deadline = now + target.spec.options.timeout
        assert self._poller is not None
        attempt = target.attempt = CheckAttempt(
            self._poller,
            self._means_of(target.spec),
            target.instance,
            address,
            lambda passed, text: self._done(target, passed, text),
        )
        attempt.begin()

    def _means_of(self, spec: CheckSpec) -> Means:
        means = self._means.get(spec)
        if means is None:
            means = self._means[spec] = self._make_means(spec)
        return means

    def _make_means(self, spec: CheckSpec) -> Means:
        header = {"v1": build_v1, "v2": build_v2}.get(spec.header)
        connector: Connector | None = None
        if spec.tls.is_on:
            # Imported here: OpenSSL takes memory that other checks do without.
            from lbconsul.proxy.upstream_tls import UpstreamConnector

            mapping = Mapping("own-checks", upstream_tls=spec.tls)
            connector = UpstreamConnector(self._reactor, mapping)
        # Without addresses: UNKNOWN, or LOCAL.
        return Means(spec.probe, header(None, None) if header else b"", connector)

    def _done(self, target: Target, passed: bool | None, text: str) -> None:
        """Called by the attempt with its result."""
        target.attempt = None
        now = self._reactor.seconds()
        count = len(target.instance.addresses)
        if passed is False and target.tried < count:
            self._try(target, now)
            return
        self._active.pop(target, None)
        if passed is None:
            self._schedule.add(target, now + _PUT_OFF, is_urgent=target.is_first)
            return
        if passed:
            target.first = (target.first + target.tried - 1) % count
        self._learn(target, passed, text, now)

    def _learn(self, target: Target, passed: bool, text: str, now: float) -> None:
        self.done += 1
        target.duration, target.at = now - target.begun, now
        shown = f"{target.spec.probe.text}: {text}" if text else target.spec.probe.text
        target.result = clipped(shown, _LONGEST)
        target.failures += not passed
        was_first, before = target.is_first, target.state.is_up
        if target.state.learn(passed):
            target.since = now
            target.reason = "" if passed else f"own check: {target.result}"
            self._on_turned(target, before)
        if self._targets.get(target.key) is target:
            self._wait(target, now, was_first=was_first)

    def _wait(self, target: Target, now: float, *, was_first: bool) -> None:
        options, chance = target.spec.options, self._chance()
        is_settled = target.state.is_settled
        due = now + _span(options, chance, is_settled=is_settled, was_first=was_first)
        self._schedule.add(target, due, is_urgent=not is_settled)


def _span(options: Check, chance: float, *, is_settled: bool, was_first: bool) -> float:
    if was_first:  # many join at the same moment: spread what follows
        return chance * options.interval
    return pause(
        options.interval,
        options.fast_interval,
        options.jitter / 100,
        chance,
        is_settled=is_settled,
    )
