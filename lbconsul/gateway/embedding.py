"""What a program sees of the gateway in it: status, events, figures and orders."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from attrs import define
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from twisted.logger import Logger
from twisted.python.threadable import isInIOThread

from lbconsul.admin.event_log import EventLog
from lbconsul.admin.metrics import metrics
from lbconsul.admin.status_json import status
from lbconsul.admin.status_model import Event, StatusSource
from lbconsul.balance.fault import in_words

#: Families that a program's own registry has, or that it has no use for.
_NOT_OURS = ("process_", "python_", "lbconsul_admin_")

#: How long another thread waits for the reactor, in seconds.
_PATIENCE = 10.0


def status_document(source: StatusSource) -> dict[str, Any]:
    """What ``/status`` answers."""
    document: dict[str, Any] = json.loads(b"".join(status(source)))
    return document


@define(eq=False)
class GatewayCollector(Collector):
    """The gateway's metrics, for a registry of prometheus_client.

    Registries are mostly read in a thread of their own; the gateway is read in the
    reactor's.
    """

    _reactor: Any
    _source: StatusSource

    def collect(self) -> list[Metric]:
        """Called by prometheus_client.

        :raises TimeoutError: the reactor does not answer.
        """
        if isInIOThread() or not self._reactor.running:
            return self._families()
        outcome: Future[list[Metric]] = Future()

        def read() -> None:
            try:
                outcome.set_result(self._families())
            except Exception as error:
                outcome.set_exception(error)

        self._reactor.callFromThread(read)
        return outcome.result(_PATIENCE)

    def _families(self) -> list[Metric]:
        text = b"".join(metrics(self._source, {})).decode()
        found = text_string_to_metric_families(text)
        return [each for each in found if not each.name.startswith(_NOT_OURS)]


@define(eq=False)
class _Subscription:
    """Calls a function with each event, once, in their order."""

    _log = Logger()
    _events: EventLog
    _observer: Callable[[Event], object]
    _seen: int

    def tell(self) -> None:
        """There are new events."""
        for event in self._new():
            try:
                self._observer(event)
            except Exception as error:
                self._log.error(
                    "{observer!r}, which has subscribed to events, raised {error}",
                    observer=self._observer,
                    error=in_words(error),
                )

    def _new(self) -> Iterator[Event]:
        while self._seen < self._events.newest:
            self._seen = max(self._seen + 1, self._events.oldest)
            yield self._events.get(self._seen)


def subscribe(
    events: EventLog, observer: Callable[[Event], object]
) -> Callable[[], None]:
    """Call `observer` with each event from now on; the result ends that."""
    subscription = _Subscription(events, observer, events.newest)
    events.listen(subscription.tell)
    return partial(events.ignore, subscription.tell)
