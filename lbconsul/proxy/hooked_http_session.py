"""HTTP sessions of mappings with hooks: asked and told once for each client."""

from lbconsul.balance.instance import Identity
from lbconsul.extensions.hook_values import Connection
from lbconsul.extensions.hooks import Visit
from lbconsul.net.sockets import reset_on_close
from lbconsul.proxy.hooked_session import client_of, denied
from lbconsul.proxy.http_plan import Plan
from lbconsul.proxy.http_session import HTTPSession
from lbconsul.stats.termination import Termination


class HookedHTTPSession(HTTPSession):
    """One client's connection, whose requests go to the preferred upstream."""

    __slots__ = ("_visit", "prefers")

    _visit: Visit | None
    prefers: Identity | None

    def start(self) -> None:
        """Ask the hooks, and then read the client's first request."""
        self._visit = self.prefers = None
        proxy = self._proxy
        try:
            assert proxy.hooks is not None
            client = client_of(proxy, self.address, self.info)
            visit = self._visit = proxy.hooks.accept(client)
            self.prefers = visit.preferred
            if visit.denial:
                self.info = denied(self.info, visit)
                reset_on_close(self.sock)
                self.end(Termination.DENIED)
                return
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise
        super().start()

    def _forward(self, plan: Plan, body: bytes, now: float) -> bool:
        # An exchange looks for the preferred upstream.
        return self.prefers is None and super()._forward(plan, body, now)

    def _over(self, termination: Termination) -> None:
        super()._over(termination)
        visit = self._visit
        if visit is None:
            return
        connection = Connection(
            client=visit.client,
            termination=termination.code,
            seconds=self._proxy.clock.seconds() - self.accepted_at,
            requests=self._exchanges,
        )
        visit.end(connection)
