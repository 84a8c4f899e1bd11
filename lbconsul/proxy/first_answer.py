"""Holds listeners back until Consul's first answer for their mappings."""

from attrs import Factory, define

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.targets import failover_spec


@define(eq=False)
class FirstAnswer:
    """Lets listeners accept once it is known which pool serves their clients.

    Until then clients wait in the kernel's queue, for the mapping's connect timeout at
    most; while host names are being resolved, and while there are no certificates, for
    as long as that takes.
    """

    _runtime: ProxyRuntime
    #: Listeners that are held back, by query; some may not be any more.
    _held: dict[ServiceQuery, dict[ActiveListener, None]] = Factory(dict)

    def begin(self, active: ActiveListener) -> None:
        """Let a listener accept, now or later."""
        if self._is_known(active):
            active.accept()
        elif active.waiting is None:
            self._hold(active)

    def answered(self, query: ServiceQuery) -> None:
        """Let listeners accept that were held back for the answer to this query."""
        for each in self._held.pop(query, ()):
            if each.waiting is None:
                continue
            if self._is_known(each):
                each.accept()
            else:
                self._held.setdefault(query, {})[each] = None

    def certificates_loaded(self) -> None:
        """Let listeners accept that were held back for certificates."""
        for query in tuple(self._held):
            self.answered(query)

    def tidy(self) -> None:
        """Forget listeners that are not held back any more."""
        self._held = {
            query: still
            for query, held in self._held.items()
            if (still := {each: None for each in held if each.waiting is not None})
        }

    def _is_known(self, active: ActiveListener) -> bool:
        if active.live is not None and not active.live.is_complete:
            return False
        return all(map(self._runtime.is_known, active.mapping.rows))

    def _hold(self, active: ActiveListener) -> None:
        for row in active.mapping.rows:
            for each in failover_spec(row).all():
                self._held.setdefault(each.query, {})[active] = None
        wait = active.mapping.timeouts.connect
        active.waiting = self._runtime.reactor.callLater(wait, self._waited, active)

    def _waited(self, active: ActiveListener) -> None:
        if any(map(self._runtime.is_pending, active.mapping.rows)):
            self._hold(active)
        else:
            active.accept()
