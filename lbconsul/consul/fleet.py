"""Follows many services over few connections to Consul.

A blocking query for each of thousands of services would need as many connections, and
an agent takes 200 from one client.  Here four blocking queries tell what may have
changed, and only the services concerned are asked, a bounded number at a time:

- the checks that are critical, and those that warn: all changes of health are changes
  of these two short lists;
- the list of nodes, with their addresses;
- the list of services, whose index grows with each registration and deregistration.
  It names those that have other tags or none any more.  What else has changed, such as
  the port of one instance, or that one of several is gone, it does not say: the nodes
  are looked at in turn.  If they are many all checks are read once before that, and
  compared with those of the last time, which finds most changes at once.  If there are
  more nodes than services, the services are asked in turn.
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
from lbconsul.consul.node_scan import NODES, Nodes, NodeScan, reading_nodes
from lbconsul.consul.query_loop import FORESEEN
from lbconsul.consul.refresh_loop import RefreshLoop
from lbconsul.net.rate_limit import TokenBucket

_STATES = "/v1/health/state/"

#: How many services are asked at a time, how many a second, and the burst before that.
AT_ONCE, RATE, BURST = 16, 200.0, 400.0

#: How many services a second are asked in turn, after what no list shows.
SLOWLY = 20.0

#: So few nodes are looked at about as fast as all checks are read.
FEW_NODES = 20

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
    _nodes: ListWatch[Nodes] = field(init=False)
    #: Of the last answer.
    _nodes_before: Nodes | None = None
    _scan: NodeScan = field(init=False)
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
        self._nodes = ListWatch(
            self._clock, self._client, self._chance, "nodes",
            lambda client, index, address, stale: client.ask_list(
                NODES, self.datacenter, index, address, stale=stale
            ),
            reading_nodes,
            self._on_nodes,
            on_trouble=lambda reason: None if reason else self._sweep(),
        )  # fmt: skip
        self._scan = NodeScan(
            self._clock, self._client, self.datacenter, self._last, self.ask,
            self._sweep,
        )  # fmt: skip
        self._nodes.setServiceParent(self)
        self._scan.setServiceParent(self)
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
        self._nodes.use_client(client)
        self._scan.use_client(client)
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
        nodes = self._nodes.known
        if nodes and not self._nodes.error and len(nodes) < len(self._loops):
            self._scan.look(nodes)
            if len(nodes) <= FEW_NODES:
                self._all = None
                return
        else:
            self._sweep()
        self._owes_reading = True
        if self._read is None and self.running:
            self._read = Deferred.fromCoroutine(self._read_all())
            self._read.addErrback(lambda why: why.trap(CancelledError))
            self._read.addCallback(self._has_read)

    def place(self, service: str, instances: Iterable[tuple[str, str]]) -> None:
        """A service is known to have these instances, by their nodes and ids."""
        self._scan.places.put(service, instances)

    def startService(self) -> None:
        super().startService()
        self.on_registrations()  # to have something to compare with

    def stopService(self) -> Any:
        stopped = super().stopService()
        if self._read is not None:
            self._read.cancel()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return stopped

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
                yield from self._scan.places.services(each.node)

    def _on_nodes(self, nodes: Nodes) -> None:
        """Nodes were added, are gone, or have another address."""
        before, self._nodes_before = self._nodes_before, nodes
        if before is None:
            return
        altered = dict(before.items() ^ nodes.items())
        for each in altered:
            self.ask(self._scan.places.services(each))
        self._scan.look(nodes.keys() & altered)

    def _last(self, service: str) -> int:
        """The index of the last answer about a service; 0 without one."""
        return min((each.last for each in self._loops.get(service, ())), default=0)

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
                    "services with routes: no list of all checks: {error}; what has"
                    " changed is found more slowly",
                    error=in_words(error),
                )
            else:
                self._compare(found)
            pause = TIMES * (self._clock.seconds() - began)
            await deferLater(self._clock, min(max(PAUSE, pause), LONGEST_PAUSE))

    async def _checks(self) -> Checks:
        reply = await self._client.ask_list(f"{_STATES}any", self.datacenter, 0, 0)
        return await in_slices(self._clock, reading(reply))

    def _compare(self, found: Checks) -> None:
        before, self._all = self._all, found
        if before is not None:
            self.ask(sorted(set(self._concerned(before ^ found))))

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
            is_news = bool(self._due)
            queue, bucket = (
                (self._due, self._bucket) if is_news else (self._rest, self._slowly)
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
                each.ask(is_news=is_news).addBoth(self._asked)

    def _called(self) -> None:
        self._call = None
        self._go_on()

    def _asked(self, _: object) -> None:
        self._asking -= 1
        self._go_on()
