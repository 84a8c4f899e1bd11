"""Follows many services over few connections to Consul.

A blocking query for each of thousands of services would need as many connections, and
an agent takes 200 from one client.  Here three blocking queries tell what may have
changed, and only the services concerned are asked, a bounded number at a time:

- the checks that are critical, and those that warn: all changes of health are changes
  of these two short lists;
- the list of services, whose index grows with each registration and deregistration.
  What it is that changed, the list often does not say: then all checks are read once,
  and compared with those of the last time;
- what no list shows, such as another port of an instance without checks, is found by
  asking all services in turn, slowly, after such a change.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.consul.check_list import Check, Checks, reading
from lbconsul.consul.client import ConsulClient
from lbconsul.consul.describe import in_words
from lbconsul.consul.list_watch import ListWatch, in_slices
from lbconsul.consul.query_loop import FORESEEN
from lbconsul.consul.refresh_loop import RefreshLoop
from lbconsul.net.rate_limit import TokenBucket

_STATES = "/v1/health/state/"

#: How many services are asked at a time, how many a second, and the burst before that.
AT_ONCE, RATE, BURST = 16, 200.0, 400.0

#: How many services a second are asked in turn, after what no list shows.
SLOWLY = 20.0

#: The least and the longest pause between two readings of all checks, in seconds, and
#: how many times as long as a reading it is: a cluster that changes all the time costs
#: a tenth of a core, and where Consul is slow news are not held up for long.
PAUSE, LONGEST_PAUSE, TIMES = 1.0, 5.0, 10.0


@define(eq=False)
class Fleet(MultiService):
    """Has services asked again when something about them may have changed."""

    _log = Logger()
    _clock: IReactorTime
    _client: ConsulClient
    _chance: Callable[[], float]
    datacenter: str
    #: Gives the services with an instance on a node, as far as they are known.
    _on_node: Callable[[str], Iterable[str]]
    _loops: dict[str, list[RefreshLoop]] = Factory(dict)
    #: Services to be asked: soon, and slowly.
    _due: dict[str, None] = Factory(dict)
    _rest: dict[str, None] = Factory(dict)
    _asking: int = 0
    _bucket: TokenBucket = Factory(lambda: TokenBucket(RATE, BURST))
    _slowly: TokenBucket = Factory(lambda: TokenBucket(SLOWLY, 1.0))
    _call: IDelayedCall | None = None
    #: The checks that are not passing, by state; and all, as of the last reading.
    _states: dict[str, ListWatch[Checks]] = field(init=False)
    _before: dict[str, Checks] = Factory(dict)
    _all: Checks | None = None
    #: Whether all checks are to be read, and what reads them.
    _owes_reading: bool = False
    _read: Deferred[None] | None = None
    #: When Consul confirmed last that nothing else has changed.
    confirmed: float | None = None

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._states = {each: self._watch(each) for each in ("critical", "warning")}
        for each in self._states.values():
            each.setServiceParent(self)

    def _watch(self, state: str) -> ListWatch[Checks]:
        return ListWatch(
            self._clock,
            self._client,
            self._chance,
            f"checks that are {state}",
            lambda client, index, address, stale: client.ask_list(
                _STATES + state, self.datacenter, index, address, stale=stale
            ),
            reading,
            lambda found: self._changed(state, found),
            self._confirm,
            lambda reason: None if reason else self.look_at_all(),
        )

    def loop(
        self,
        service: str,
        ask: Callable[[ConsulClient, int, int], Awaitable[str | None]],
        on_success: Callable[[int], None],
        on_failure: Callable[[Exception, bool], None],
    ) -> RefreshLoop:
        """A loop that asks for a service when it may have changed."""
        return RefreshLoop(
            self._clock, self._client, self._chance, ask, on_success, on_failure,
            self, service,
        )  # fmt: skip

    def begin(self, loop: RefreshLoop) -> None:
        """Called by a loop: ask for its service from now on."""
        self._loops.setdefault(loop.service, []).append(loop)
        self.ask([loop.service])

    def end(self, loop: RefreshLoop) -> None:
        """Called by a loop: ask for its service no more."""
        loops = self._loops.get(loop.service, [])
        if loop in loops:
            loops.remove(loop)
        if not loops:
            self._loops.pop(loop.service, None)

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on, for all services at once."""
        self._client = client
        for each in self._states.values():
            each.use_client(client)
        self._all = None
        self.look_at_all()

    def ask(self, services: Iterable[str]) -> None:
        """Ask for these services soon, if they are followed."""
        for each in services:
            if each in self._loops:
                self._rest.pop(each, None)
                self._due[each] = None
        self._go_on()

    def look_at_all(self) -> None:
        """Anything may have changed: ask for all services, those known first."""
        self.ask(tuple(self._loops))

    def on_registrations(self) -> None:
        """A service was registered or deregistered somewhere: find out which."""
        self._owes_reading = True
        if self._read is None and self.running:
            self._read = Deferred.fromCoroutine(self._read_all())
            self._read.addErrback(lambda why: why.trap(CancelledError))
            self._read.addCallback(self._has_read)

    def stopService(self) -> Any:
        if self._read is not None:
            self._read.cancel()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return super().stopService()

    def _confirm(self) -> None:
        self.confirmed = self._clock.seconds()

    def _changed(self, state: str, found: Checks) -> None:
        before = self._before.get(state)
        self._before[state] = found
        if before is not None:
            self.ask(tuple(self._concerned(before ^ found)))

    def _concerned(self, checks: Iterable[Check]) -> Iterator[str]:
        """The services that these checks are about."""
        for each in checks:
            if each.service:
                yield each.service
            else:
                yield from self._on_node(each.node)

    def _has_read(self, _: object) -> None:
        self._read = None

    async def _read_all(self) -> None:
        while self._owes_reading and self.running:
            self._owes_reading = False
            began = self._clock.seconds()
            try:
                found = await self._checks()
            except Exception as error:
                if not self.running:
                    break
                if not isinstance(error, FORESEEN):
                    self._log.failure("a bug in lbconsul: checks cannot be read")
                self._log.warn(
                    "services with routes: no list of all checks: {error}; each service"
                    " is asked in turn",
                    error=in_words(error),
                )
                self._sweep()
            else:
                self._compare(found)
            pause = TIMES * (self._clock.seconds() - began)
            await deferLater(self._clock, min(max(PAUSE, pause), LONGEST_PAUSE))

    async def _checks(self) -> Checks:
        reply = await self._client.ask_list(f"{_STATES}any", self.datacenter, 0, 0)
        return await in_slices(self._clock, reading(reply))

    def _compare(self, found: Checks) -> None:
        before, self._all = self._all, found
        concerned = set[str]()
        if before is not None:
            concerned.update(self._concerned(before ^ found))
        if concerned & self._loops.keys():
            self.ask(sorted(concerned))
        else:
            self._sweep()

    def _sweep(self) -> None:
        """Ask for all services in turn, slowly."""
        self._rest.update(dict.fromkeys(self._loops))
        self._go_on()

    def _go_on(self) -> None:
        """Ask for what is due, as far as the rate allows."""
        if self._call is not None or not self.running:
            return
        now = self._clock.seconds()
        while self._asking < AT_ONCE and (self._due or self._rest):
            queue, bucket = (
                (self._due, self._bucket) if self._due else (self._rest, self._slowly)
            )
            service = next(iter(queue))
            loops = [each for each in self._loops.get(service, ()) if each.is_free]
            if not loops:
                del queue[service]  # it asks already, and then asks again
                for each in self._loops.get(service, ()):
                    each.again = True
                continue
            if not bucket.allows(now):
                self._call = self._clock.callLater(1 / bucket.rate, self._called)
                return
            del queue[service]
            for each in loops:
                self._asking += 1
                each.ask().addBoth(self._asked)

    def _called(self) -> None:
        self._call = None
        self._go_on()

    def _asked(self, _: object) -> None:
        self._asking -= 1
        self._go_on()
