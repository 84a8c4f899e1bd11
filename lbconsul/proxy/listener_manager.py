"""The mappings that one process serves, which come and go while it runs."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import Listen, Mapping
from lbconsul.net.listening_socket import ListeningSocket
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import ACCEPT_BOUND, Listener
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.saturation import DESCRIPTORS, MAPPING, PROCESS, Full, Saturation
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.termination import Termination

#: How long after the end of its drain timeout a connection is closed that still
#: lives, in seconds: by then its factory should have done so.
LATE = 5.0


@define(eq=False, repr=False)
class ListenerManager(Service):
    """Listens for mappings; all that their connections go through is the runtime's.

    `at_once` and `is_overloaded` are for listeners that share their queue with other
    processes.  `let_go` is called when factories are gone, whose pools nobody may
    need any longer.
    """

    _log = Logger()
    _runtime: ProxyRuntime
    _at_once: int = ACCEPT_BOUND
    _is_overloaded: Callable[[], bool] | None = None
    _let_go: Callable[[], None] = lambda: None
    _served: dict[ListeningSocket, ActiveListener] = Factory(dict)
    _by_listen: dict[Listen | None, ActiveListener] = Factory(dict)
    #: Those that wait for Consul, by what it has to answer; maybe some more.
    _waiting: dict[ServiceQuery, dict[ActiveListener, None]] = Factory(dict)
    #: Whether there may be pools that nothing needs any longer.
    _is_letting_go: bool = False
    #: Factories for whom somebody else listens.
    _lent: list[ProxyFactory] = Factory(list)
    _retired: Deferred[None] | None = None
    _too_late: IDelayedCall | None = None
    _saturation: Saturation = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._saturation = Saturation(self._runtime.reactor, self._look_for_full)
        self._runtime.tend_too(self._saturation)
        self._runtime.tend_too(self)

    @property
    def full(self) -> tuple[Full, ...]:
        """What has been full for a second, and is: new clients wait for it."""
        return self._saturation.full

    @property
    def mappings(self) -> list[Mapping]:
        """What is served, by whomever it is listened for."""
        served = [each.mapping for each in self._served.values()]
        return served + [each.mapping for each in self._lent]

    @property
    def served(self) -> list[ActiveListener]:
        """What we listen for ourselves, in the order in which it came."""
        return list(self._served.values())

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether its clients are accepted, be it by somebody else."""
        served = self._by_listen.get(mapping.listen)
        if served is not None and served.mapping == mapping:
            return served.listener is not None
        return mapping in [each.mapping for each in self._lent]

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for clients that somebody else accepts."""
        factory = self._runtime.make(mapping)
        factory.ended = self._look_whether_retired
        self._lent.append(factory)
        return factory

    def serve(self, mapping: Mapping, source: ListeningSocket) -> None:
        """Serve a mapping on this socket, too."""
        factory = self._runtime.make(mapping)
        served = self._served[source] = ActiveListener(source, factory, self._listener)
        self._by_listen[mapping.listen] = served
        self._connect(served)
        if self.running:
            self._begin(served)

    def replace(
        self, wanted: Iterable[tuple[Mapping, ListeningSocket]], *, anew: bool = False
    ) -> None:
        """Serve just these on their sockets: what stays as it is is not touched.

        With `anew` new clients of those that stay get another factory, whatever
        the options say.
        """
        for _ in self.replacing(wanted, anew=anew):
            pass

    def replacing(
        self, wanted: Iterable[tuple[Mapping, ListeningSocket]], *, anew: bool = False
    ) -> Iterator[bool]:
        """The same, one mapping after the other."""
        mappings = {source: mapping for mapping, source in wanted}
        is_less = False  # whether there may be pools that nothing needs any longer
        yield True
        for source in [each for each in self._served if each not in mappings]:
            gone = self._served.pop(source)
            self._by_listen.pop(gone.mapping.listen, None)
            self._remove(gone)
            is_less = True
            yield False
        for source, mapping in mappings.items():
            served = self._served.get(source)
            if served is None:
                self.serve(mapping, source)
            elif anew or served.mapping != mapping:
                is_less |= failover_spec(served.mapping) != failover_spec(mapping)
                self._alter(served, mapping)
            yield False
        yield True
        self._waiting = {
            question: still
            for question, waiting in self._waiting.items()
            if (still := {each: None for each in waiting if each.waiting is not None})
        }
        yield True
        if is_less:
            self._let_go()
            yield True

    def answered(self, question: ServiceQuery) -> None:
        """Consul has answered this: mappings may have waited for it."""
        for each in self._waiting.pop(question, ()):
            if each.waiting is None:
                continue
            if self._runtime.is_known(each.mapping):
                each.accept()
            else:
                self._waiting.setdefault(question, {})[each] = None

    def tend(self) -> Iterable[None]:
        """Let go of pools, together: connections of many mappings may end at once."""
        if self._is_letting_go:
            self._is_letting_go = False
            self._let_go()
        return ()

    def bind(self) -> None:
        """Open every listening socket; CannotListen if one is not to be had."""
        for source in self._served:
            source.open()

    def close(self) -> None:
        """Give back what `bind` opened."""
        for source in self._served:
            source.close()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        self.bind()
        self._runtime.start()
        for each in self.served:
            self._begin(each)

    def stopService(self) -> None:
        """Accept nobody any more; what is open lives on until it is closed."""
        super().stopService()
        for each in self._served.values():
            each.close()

    def retire(self) -> Deferred[None]:
        """Accept nobody any more, and let what is open end.

        The Deferred fires when nothing is open, which comes to pass a little
        after the longest drain timeout at the latest.
        """
        wait = self._runtime.longest_drain + LATE
        for served in self.served:
            served.close()
        self._runtime.start()  # it may not have come to that
        self._runtime.retire()
        retired: Deferred[None] = Deferred()
        self._retired = retired
        self._too_late = self._runtime.reactor.callLater(wait, self._end_late)
        self._look_whether_retired()
        return retired

    def close_connections(self, ending: Termination = Termination.HARD_STOP) -> None:
        """End everything that is open, at once, and do nothing any more."""
        self._runtime.close_connections(ending)
        self._runtime.stop()
        self._saturation.stop()
        self._end_patience()

    def _look_for_full(self) -> dict[Full, int]:
        """What is full at the moment, and its limit."""
        found, room = {}, self._runtime.room
        if room.is_full:
            found[Full(PROCESS)] = room.limit
        for served in self._served.values():
            if served.is_full:
                mapping = served.mapping
                found[Full(MAPPING, str(mapping))] = mapping.max_connections
            if served.is_starved:
                found[Full(DESCRIPTORS)] = 0
        return found

    def _connect(self, served: ActiveListener) -> None:
        """Let the connections of its factory concern its listener."""
        factory = served.factory
        factory.ended = partial(self._ended, factory, served)
        factory.starved = served.starved

    def _listener(self, served: ActiveListener, source: ListeningSocket) -> Listener:
        # Of a limit each process has its share: to have many is no reason to wait.
        should_yield = None if served.mapping.max_connections else self._is_overloaded
        reactor = self._runtime.reactor
        return Listener(reactor, reactor, served, source, self._at_once, should_yield)

    def _begin(self, served: ActiveListener) -> None:
        """Accept once there is something to choose from, or after a while anyway."""
        if self._runtime.is_known(served.mapping):
            served.accept()
        elif served.waiting is None:
            self._wait(served)

    def _wait(self, served: ActiveListener) -> None:
        for each in failover_spec(served.mapping).all():
            self._waiting.setdefault(each.question, {})[served] = None
        wait = served.mapping.connect_timeout
        served.waiting = self._runtime.reactor.callLater(wait, self._overdue, served)

    def _overdue(self, served: ActiveListener) -> None:
        """Clients have waited long enough, unless it is for names to be looked up."""
        if self._runtime.is_pending(served.mapping):
            self._wait(served)
        else:
            served.accept()

    def _alter(self, served: ActiveListener, mapping: Mapping) -> None:
        served.pause()
        before = served.turn_to(self._runtime.make(mapping))
        self._connect(served)
        self._drop_if_over(before, served)
        if self.running:
            self._begin(served)

    def _remove(self, served: ActiveListener) -> None:
        served.close()
        for factory in served.factories:
            factory.retire(Termination.UNMAPPED)
            self._drop_if_over(factory, served)

    def _ended(self, factory: ProxyFactory, served: ActiveListener) -> None:
        """One of its connections is over."""
        served.ended()
        stays = factory is served.factory and served.source in self._served
        if not stays and self._drop_if_over(factory, served):
            self._is_letting_go = True
        self._look_whether_retired()

    def _drop_if_over(self, factory: ProxyFactory, served: ActiveListener) -> bool:
        if factory.open:
            return False
        if factory in served.older:
            served.older.remove(factory)
        self._runtime.drop(factory)
        return True

    def _look_whether_retired(self) -> None:
        if self._retired is not None and not self._runtime.open:
            retired, self._retired = self._retired, None
            self._end_patience()
            retired.callback(None)

    def _end_late(self) -> None:
        self._too_late = None
        open_still = self._runtime.open
        self._log.error(
            "a bug in lbconsul: {open} connections overstay", open=open_still
        )
        self._runtime.close_connections(Termination.SOFT_STOP)

    def _end_patience(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
