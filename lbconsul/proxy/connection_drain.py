"""A drain: waits until no connection of a process is open, up to a deadline."""

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.stats.termination import Termination

#: How long after the drain timeout connections that are still open are closed, in
#: seconds: their proxies should have closed them by then.
LATE = 5.0


@define(eq=False)
class ConnectionDrain:
    """Lets the connections of all proxies end; `check` is called as they do."""

    _log = Logger()
    _runtime: ProxyRuntime
    _drained: Deferred[None] | None = None
    _deadline: IDelayedCall | None = None

    def begin(self) -> Deferred[None]:
        """Drain; the Deferred fires when no connection is open.

        That is `LATE` seconds after the longest drain timeout at the latest.
        """
        runtime = self._runtime
        wait = runtime.longest_drain + LATE
        runtime.start()  # it may not have started yet
        runtime.drain()
        drained = self._drained = Deferred[None]()
        self._deadline = runtime.reactor.callLater(wait, self._close_overdue)
        self.check()
        return drained

    def check(self) -> None:
        """End the drain, if there is one and no connection is open."""
        if self._drained is not None and not self._runtime.open:
            drained, self._drained = self._drained, None
            self.stop()
            drained.callback(None)

    def stop(self) -> None:
        """Cancel the deadline: all connections have been closed."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_overdue(self) -> None:
        self._deadline = None
        self._log.error(
            "a bug in lbconsul: {open} connections are open past their deadline",
            open=self._runtime.open,
        )
        self._runtime.close_connections(Termination.SOFT_STOP)
