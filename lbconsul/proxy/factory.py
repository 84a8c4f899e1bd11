"""The proxy factory: each client it is given gets a lease, a dial and a relay."""

import socket
from collections.abc import Callable, Collection

from attrs import define, field
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from lbconsul.balance.registry import Registry
from lbconsul.balance.selection import Selection
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.config.model import Mapping
from lbconsul.proxy.adopt import Adopt
from lbconsul.proxy.dial import Dial
from lbconsul.proxy.ending import Ending
from lbconsul.proxy.patrol import Patrol
from lbconsul.proxy.poller import Poller
from lbconsul.proxy.relay import Arrival, Relay
from lbconsul.proxy.sockets import address_text
from lbconsul.proxy.splice import Pipes

#: How often, at least, a relay is looked at with an end that the reactor does not
#: watch, since nothing is to be read from it: it may have failed.  In seconds.
_UNWATCHED_ROUND = 1.0

#: The same for dials: their clients may leave.
_DIAL_ROUND = 0.25


@implementer(IProtocolFactory)
@define(eq=False, repr=False)
class ProxyFactory:
    """Balances the clients of one mapping over the upstreams of its selection.

    Works on any endpoint that yields plain sockets, as in
    ``endpoint.listen(factory)``; our own `Listener` takes a shorter way in.
    """

    _log = Logger()
    poller: Poller
    clock: IReactorTime
    _registry: Registry
    _selection: Selection
    mapping: Mapping
    _log_connections: bool = True
    #: Connections accepted since the start, and those of them not yet over.
    accepted: int = 0
    #: Called at each connection's end.
    ended: Callable[[], None] = lambda: None
    #: Called when a dial finds no descriptor or port.
    starved: Callable[[], None] = lambda: None
    _open: set[Dial | Relay] = field(factory=set)
    pipes: Pipes = field(factory=Pipes)
    # What dials and relays ask of their owner.
    attempts: int = field(init=False)
    connect_timeout: float = field(init=False)
    idle_timeout: float = field(init=False)
    half_close_timeout: float = field(init=False)
    dial_patrol: Patrol = field(init=False)
    idle_patrol: Patrol = field(init=False)
    unwatched_patrol: Patrol = field(init=False)

    def __attrs_post_init__(self) -> None:
        mapping, clock = self.mapping, self.clock
        self.attempts = mapping.attempts
        self.connect_timeout = mapping.connect_timeout
        self.idle_timeout = mapping.idle_timeout
        self.half_close_timeout = mapping.half_close_timeout
        self.dial_patrol = Patrol.keeping(clock, mapping.connect_timeout, _DIAL_ROUND)
        self.idle_patrol = Patrol.keeping(clock, mapping.idle_timeout)
        self.unwatched_patrol = Patrol.keeping(
            clock, mapping.half_close_timeout, _UNWATCHED_ROUND
        )

    @property
    def open(self) -> int:
        """Connections that are not over, whether they have an upstream yet or not."""
        return len(self._open)

    def connected(self, client: socket.socket, address: object) -> None:
        """Take over a client's socket, which must not block."""
        self.accepted += 1
        dial = Dial(self, Arrival(client, address, self.clock.seconds()))
        self._open.add(dial)
        try:
            dial.start()
        except Exception:
            # A bug of ours: let it be known, but leak nothing.
            if dial in self._open:
                dial.end(Ending.INTERNAL)
            raise

    def tend(self) -> None:
        """Do what has become due by now; to be called a few times a second."""

    def retire(self) -> None:
        """Nobody comes any more: let what is open end, by the drain timeout."""

    def close_connections(self) -> None:
        """End everything that is open, at once."""
        for each in tuple(self._open):
            each.end(Ending.KILLED)
        for patrol in (self.dial_patrol, self.idle_patrol, self.unwatched_patrol):
            patrol.stop()
        self.pipes.close()

    def lease(self, avoiding: Collection[Upstream]) -> Lease:
        """Called by a dial."""
        return self._registry.lease(self._selection, avoiding)

    def dial_answered(self, dial: Dial, upstream: socket.socket) -> None:
        """Called by a dial: join the two."""
        assert dial.lease is not None
        relay = Relay(self, upstream, dial.lease, dial.arrival, len(dial.tried))
        self._open.discard(dial)
        self._open.add(relay)
        try:
            relay.start()
        except Exception:
            relay.end(Ending.INTERNAL, reset=True)
            raise

    def dial_failed(self, dial: Dial, ending: Ending) -> None:
        """Called by a dial, which is over."""
        self._open.discard(dial)
        self._tell(dial.arrival, None, 0, 0, len(dial.tried), ending)
        self.ended()

    def dial_starved(self) -> None:
        """Called by a dial, which waits."""
        self.starved()

    def relay_over(self, relay: Relay, ending: Ending) -> None:
        """Called by a relay, which is over."""
        self._open.discard(relay)
        relay.lease.end()
        self._tell(
            relay.arrival,
            relay.lease.upstream,
            relay.client.moved,
            relay.upstream.moved,
            relay.retries,
            ending,
        )
        self.ended()

    def _tell(
        self,
        arrival: Arrival,
        upstream: Upstream | None,
        received: int,
        sent: int,
        retries: int,
        ending: Ending,
    ) -> None:
        if not self._log_connections:
            return
        client, mapping = address_text(arrival.address), str(self.mapping)
        instance = str(upstream.instance) if upstream else "-"
        seconds = self.clock.seconds() - arrival.time
        # The line is put together here, and the fields go with it for those who
        # want them: to have the logger format eight fields takes longer than to
        # choose the upstream.
        self._log.info(
            "{line}",
            line=(
                f"{client} {mapping} {instance} in={received} out={sent}"
                f" time={seconds:.3f} retries={retries} {ending.value}"
            ),
            client=client,
            mapping=mapping,
            upstream=instance,
            received=received,
            sent=sent,
            seconds=seconds,
            retries=retries,
            ending=ending.value,
        )

    # What an endpoint asks of a factory.

    def buildProtocol(self, address: IAddress) -> Protocol:
        """A protocol that hands its transport's socket to `connected`."""
        return Adopt(self.connected)

    def doStart(self) -> None:
        """Nothing to do before listening."""

    def doStop(self) -> None:
        """The endpoint stopped listening; what is open lives on."""
