"""Reports to the master what a worker does: its state, and its mappings' traffic."""

from collections.abc import Callable, Iterator

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from lbconsul.config.model import Mapping
from lbconsul.net.periodic import repeat
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.workers.log_forwarder import LogForwarder
from lbconsul.workers.messages import Report
from lbconsul.workers.traffic_messages import write_traffic

#: How often a changed report is sent to the master, in seconds.
REPORT_EVERY = 1.0

#: A change of an upstream's standing is reported sooner: after this many seconds, which
#: batches several.
REPORT_SOON = 0.1


@define(eq=False)
class Reporter:
    """Sends what has changed since it was sent last.

    `state` gives the worker's present state.
    """

    _clock: IReactorTime
    _uplink: LogForwarder
    _runtime: ProxyRuntime
    _state: Callable[[], Report]
    #: The mappings and routes served, by their numbers.
    _mappings: dict[int, Mapping] = Factory(dict)
    #: The state and the traffic that were last sent; the latter by assignment.
    _sent_state: Report | None = None
    _sent: dict[int, bytes] = Factory(dict)
    #: The pools last reported as used, by assignment.
    _sent_used: dict[int, set[int]] = Factory(dict)
    #: Assignments last reported with something that can end without any other change,
    #: so they are compared each time.
    _passing: set[int] = Factory(set)
    #: The current round of traffic, sent a few mappings at a time.
    _round: Iterator[None] | None = None
    _calls: list[LoopingCall] = Factory(list)
    #: The delayed call of the next early round.
    _soon: IDelayedCall | None = None
    _is_stopped: bool = False

    def start(self) -> None:
        """Report periodically from now on."""
        for report in (self.report, self._begin_round):
            self._calls.append(repeat(self._clock, REPORT_EVERY, report))

    def stop(self) -> None:
        """Report nothing any more by itself."""
        self._is_stopped = True
        for call in self._calls:
            call.stop()
        self._calls.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def serve(self, mappings: dict[int, Mapping]) -> None:
        """Report the traffic of these mappings, and of no others."""
        self._mappings = mappings
        self._sent = {each: self._sent[each] for each in mappings if each in self._sent}

    def report(self) -> None:
        """Send the worker's state, if it has changed."""
        state = self._state()
        if state != self._sent_state:
            self._sent_state = state
            self._uplink.report(state)

    def report_traffic(self) -> None:
        """Send all changed traffic at once."""
        for _ in self._rounds():
            pass

    def report_traffic_soon(self) -> None:
        """Send changed traffic before its time."""
        if self._soon is None and not self._is_stopped:
            self._soon = self._clock.callLater(REPORT_SOON, self._begin_early)

    def _begin_early(self) -> None:
        self._soon = None
        if self._round is None:
            self._begin_round()
        else:  # the current round may have passed the mapping
            self.report_traffic_soon()

    def _begin_round(self) -> None:
        """Send changed traffic, a few mappings at a time."""
        if self._round is None:
            self._round = self._rounds()
            self._runtime.sweeper.begin(self._round)

    def _rounds(self) -> Iterator[None]:
        for number in tuple(self._mappings):
            if not self._uplink.is_free:  # an unread delta would be lost
                break
            mapping = self._mappings.get(number)
            if mapping is not None:
                self._send(number, mapping)
            yield
        self._round = None

    def _send(self, number: int, mapping: Mapping) -> None:
        runtime = self._runtime
        used = runtime.used(mapping)
        is_old = number in self._sent and number not in self._passing
        is_used_as_before = used == self._sent_used.get(number)
        if is_old and is_used_as_before and not runtime.has_news(mapping):
            return
        traffic, self._sent_used[number] = runtime.traffic(mapping), used
        if traffic.is_passing:
            self._passing.add(number)
        else:
            self._passing.discard(number)
        data = write_traffic(number, traffic)
        if data != self._sent.get(number):
            self._sent[number] = data
            self._uplink.say(data)
