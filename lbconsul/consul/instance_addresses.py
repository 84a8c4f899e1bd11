"""Looks up the IP addresses of instances that are registered under a host name."""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IReactorTime
from twisted.logger import Logger

from lbconsul.balance.instance import Instance
from lbconsul.config.hosts import canonical
from lbconsul.consul.addresses import Addresses
from lbconsul.consul.host_lookup import look_up

#: The age at which an address is looked up again, in seconds.  Half a minute is what
#: Consul's own DNS answers and common DNS balancers use.
MAX_AGE = 30.0

#: The backoff of a name without an address, in seconds: from FIRST_RETRY, doubled with
#: each failure, up to LONGEST_RETRY.
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0

#: How long an answer counts as pending while names are looked up for the first time,
#: in seconds: PATIENCE if other instances are usable, LONGEST_PATIENCE if none is.
PATIENCE, LONGEST_PATIENCE = 0.5, 10.0

#: In seconds: the interval of checks for names that are due, the same while names are
#: pending, and how long look-ups are collected into one change.
_TICK, _SHORT_TICK, _TOGETHER = 1.0, 0.25, 0.05

#: The most look-ups that start in one turn of the reactor.
_A_TURN = 200

#: The most unresolved names in one line of log.
_NAMED = 5


#: The `due` of a new name.
_NOW = -math.inf


@define(eq=False)
class _Name:
    """One host name: its addresses, failures and the time of its next look-up."""

    addresses: tuple[str, ...] = ()
    #: How many look-ups in a row found no address.
    failures: int = 0
    #: When the next look-up is due, in the clock's seconds; infinite during one.
    due: float = _NOW
    looking: Deferred[None] | None = None


@define(eq=False)
class InstanceAddresses:
    """Keeps the addresses of the host names in one answer, without blocking.

    It calls `changed` when addresses change, and when the answer is no longer
    `pending`.  A name whose look-up fails keeps its last addresses.  `chance` spreads
    retries, `usable` returns whether other instances can serve.  `inherited` has the
    addresses that the predecessor in a takeover knew: they are in use until a look-up,
    which starts at once, finds others.
    """

    _log = Logger()
    _clock: IReactorTime
    _resolver: IHostnameResolver
    _changed: Callable[[], None]
    _chance: Callable[[], float] = lambda: 0.0
    _usable: Callable[[], bool] = lambda: False
    _inherited: Addresses = Factory(dict)
    _names: dict[str, _Name] = Factory(dict)
    #: The names whose first look-up is not over, and since when there are any.
    _unheard: set[str] = Factory(set)
    _since: float = 0.0
    #: The names without an address that are not logged yet.
    _unsaid: list[str] = Factory(list)
    #: How many look-ups are in progress.
    _looking: int = 0
    #: Whether addresses have changed since the last call of `changed`.
    _is_news: bool = False
    #: Whether a batch of look-ups is being started; its caller reports changes after.
    _is_telling: bool = False
    _was_pending: bool = False
    _timer: Any = None
    #: The call that starts the look-ups beyond one turn's limit.
    _next: Any = None
    #: The call that reports the changes collected so far.
    _telling: Any = None

    @property
    def pending(self) -> bool:
        """Whether the pool should wait for the first look-ups of new names.

        It ends when each has succeeded or failed, after `PATIENCE` if other instances
        are usable, and after `LONGEST_PATIENCE` in any case.
        """
        if not self._unheard:
            return False
        waited = self._clock.seconds() - self._since
        return waited < (PATIENCE if self._usable() else LONGEST_PATIENCE)

    @property
    def known(self) -> Addresses:
        """The names that have addresses, with these."""
        return {host: x.addresses for host, x in self._names.items() if x.addresses}

    def unresolved(self, host: str) -> bool:
        """Whether `host` is a name of this answer without an address."""
        name = self._names.get(host)
        return name is not None and not name.addresses

    def addressed(self, instances: Iterable[Instance]) -> list[Instance]:
        """The instances whose address is known, with that address.

        It starts look-ups for the others and drops names that are no longer needed.
        """
        instances = tuple(instances)
        wanted = dict.fromkeys(each.host for each in instances if not each.address)
        for host in [host for host in self._names if host not in wanted]:
            self._forget(host)
        new = [host for host in wanted if host not in self._names]
        if new and not self._unheard:
            self._since = self._clock.seconds()
        self._unheard.update(new)
        known = self._inherited
        self._names.update((host, _Name(known.get(host, ()))) for host in new)
        self._look_up_all_due(_NOW)
        self._is_news = False
        self._say()
        self._was_pending = self.pending
        self._tick_later()
        return [
            each if each.address else self._with_address(each)
            for each in instances
            if each.address or self._names[each.host].addresses
        ]

    def stop(self) -> None:
        """Cancel all look-ups and timers until the next call of `addressed`."""
        for host, name in list(self._names.items()):
            if name.addresses:
                self._names[host] = _Name(name.addresses)
            if name.looking is not None:
                self._looking -= 1
                name.looking.cancel()
        self._unheard.clear()
        self._names = {host: x for host, x in self._names.items() if x.addresses}
        for call in (self._timer, self._next, self._telling):
            if call is not None:
                call.cancel()
        self._timer = self._next = self._telling = None

    def _with_address(self, instance: Instance) -> Instance:
        address, *others = self._names[instance.host].addresses
        return evolve(instance, address=address, alternates=tuple(others))

    def _forget(self, host: str) -> None:
        looking = self._names.pop(host).looking
        self._unheard.discard(host)
        if looking is not None:
            self._looking -= 1
            looking.cancel()

    def _tick_later(self) -> None:
        if self._names and self._timer is None:
            tick = _SHORT_TICK if self._was_pending else _TICK
            self._timer = self._clock.callLater(tick, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._look_up_all_due(self._clock.seconds())
        self._tell()
        self._tick_later()

    def _look_up_all_due(self, now: float) -> None:
        due = [(host, name) for host, name in self._names.items() if name.due <= now]
        self._is_telling = True  # look-ups may finish at once
        for host, name in due[:_A_TURN]:
            self._look_up(host, name)
        self._is_telling = False
        if len(due) > _A_TURN and self._next is None:
            self._next = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._next = None
        self._look_up_all_due(self._clock.seconds())
        self._tell_together()

    def _look_up(self, host: str, name: _Name) -> None:
        name.due = math.inf
        looking = look_up(self._resolver, host).addCallback(self._found, name, host)
        looking.addErrback(lambda cancelled: None)
        if not looking.called:
            name.looking = looking
            self._looking += 1

    def _found(self, addresses: list[str], name: _Name, host: str) -> None:
        if self._names.get(host) is not name:
            return
        if name.looking is not None:
            name.looking = None
            self._looking -= 1
        self._unheard.discard(host)
        addresses = _connectable(addresses)
        if addresses:
            name.failures = 0
            name.due = self._clock.seconds() + MAX_AGE
            self._keep(name, addresses)
        else:
            self._put_off(name, host)
        self._tell_together()

    def _keep(self, name: _Name, addresses: list[str]) -> None:
        # Many DNS servers rotate the order with each answer.
        if set(name.addresses) == set(addresses):
            return
        # A name with several addresses keeps the one in use while it is valid.
        first = [each for each in name.addresses[:1] if each in addresses]
        name.addresses = tuple(dict.fromkeys(first + addresses))
        self._is_news = True

    def _put_off(self, name: _Name, host: str) -> None:
        """The look-up found no address or failed: retry after backoff with jitter."""
        longest = MAX_AGE if name.addresses else LONGEST_RETRY
        wait = min(longest, FIRST_RETRY * 2.0 ** min(name.failures, 30))
        name.due = self._clock.seconds() + wait * (1 + self._chance()) / 2
        if not name.failures:
            self._unsaid.append(host)
        name.failures += 1

    def _tell_together(self) -> None:
        """Collect changes of about the same time into one call of `changed`."""
        if self._telling is not None or self._is_telling:
            return
        if self._looking:
            self._telling = self._clock.callLater(_TOGETHER, self._tell_now)
        else:
            self._tell()

    def _tell_now(self) -> None:
        self._telling = None
        self._tell()

    def _tell(self) -> None:
        self._say()
        if self._is_news or (self._was_pending and not self.pending):
            self._is_news = self._was_pending = False
            self._changed()

    def _say(self) -> None:
        """Log the names without an address, in one line."""
        unsaid, self._unsaid = self._unsaid, []
        if not unsaid:
            return
        # Any client of Consul may have registered the name: it must not break the line.
        names = [each if each.isprintable() else ascii(each) for each in unsaid]
        shown = ", ".join(names[:_NAMED])
        if len(names) == 1:
            self._log.warn("the host name {host} cannot be resolved", host=shown)
        else:
            self._log.warn(
                "{count} host names cannot be resolved: {hosts}{more}",
                count=len(names),
                hosts=shown,
                more=", ..." if len(names) > _NAMED else "",
            )


def _connectable(addresses: Iterable[str]) -> list[str]:
    """The addresses that are fit to connect to, as for registered addresses.

    This excludes 0.0.0.0, the answer of DNS filters for a blocked name: a connection
    to it would reach this host.
    """
    found = []
    for each in addresses:
        with suppress(ValueError):
            found.append(canonical(each))
    return found
