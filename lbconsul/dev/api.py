"""Consul's HTTP API, as far as a balancer and its users need it."""

import random
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lbconsul.dev.agent import Agent
from lbconsul.dev.agent_api import AgentApi
from lbconsul.dev.blocking import BlockedQuery, Sleepers, wanted_index, wanted_wait
from lbconsul.dev.catalog import Catalog
from lbconsul.dev.catalog_api import CatalogApi
from lbconsul.dev.http import (
    Action,
    ConsulRequest,
    HTTPError,
    Routes,
    View,
    Watch,
    allow,
    path_of,
    refuse,
    send,
    show,
)

#: What Consul's open-source edition answers to arguments of the Enterprise edition.
NO_NAMESPACES = (
    'Bad request: Invalid query parameter: "ns" - Namespaces are a Consul'
    " Enterprise feature"
)
NO_FILTERS = "the --dev catalog does not do ?filter=; a real Consul does"


@define(eq=False)
class Api(Resource):
    """The root of the dev catalog's web site: it answers every path itself.

    After every command it wakes the blocked queries; it also expires TTLs in time.
    `stop` ends both.
    """

    _log = Logger()
    isLeaf = True

    _clock: IReactorTime
    _chance: Callable[[], float] = random.random
    _agent: Agent = field(factory=lambda: Agent(Catalog()))
    _sleepers: Sleepers = field(init=False)
    _routes: Routes = field(init=False)
    _expiry: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._sleepers = Sleepers(self._clock, self._chance)
        agent = AgentApi(self._agent, self._clock.seconds).routes()
        self._routes = {**CatalogApi(self._agent.catalog).routes(), **agent}
        self._agent.join()

    def stop(self) -> None:
        """Drop the blocked queries without an answer, and expire no further TTL."""
        self._sleepers.hang_up()
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()

    def render(self, request: Request) -> int:
        path = path_of(request)
        route = self._routes.get(path)
        prefix = path
        if route is None:
            prefix, route = self._below(path)
        method = request.method.decode()
        if route is None:
            refuse(request, 404, f"the --dev catalog has nothing at {path}")
        elif method == "OPTIONS":
            allow(request, route.method)
        elif method != route.method:
            allow(request, route.method, refused=method)
        else:
            self._answer(request, route, ConsulRequest.of(request, prefix))
        return NOT_DONE_YET

    def _below(self, path: str) -> tuple[str, Action | Watch | None]:
        """The route whose prefix the path continues: a name may contain slashes."""
        for prefix, route in self._routes.items():
            if prefix.endswith("/") and path.startswith(prefix):
                return prefix, route
        return path, None

    def _answer(
        self, request: Request, route: Action | Watch, asked: ConsulRequest
    ) -> None:
        try:
            if asked.has("ns"):
                raise HTTPError(400, NO_NAMESPACES)
            if asked.has("filter"):
                raise HTTPError(400, NO_FILTERS)
            if isinstance(route, Watch):
                self._watch(request, route.look(asked), asked)
            else:
                self._act(request, route, asked)
        except HTTPError as no:
            refuse(request, no.status, no.sentence)

    def _act(self, request: Request, route: Action, asked: ConsulRequest) -> None:
        try:
            send(request, route.answer(asked))
        finally:
            self._changed()
        if route.method == "PUT":
            self._log.info("dev catalog: {path}", path=path_of(request))

    def _watch(self, request: Request, look: View, asked: ConsulRequest) -> None:
        wait, newer = wanted_wait(asked), wanted_index(asked)
        consistency = asked.consistency()
        if not self._reaches(asked.first("dc")):
            refuse(request, 500, "No path to datacenter", lost=True)
            return
        if look()[0] > newer or not newer:
            show(request, look(), consistency)
            return
        sleeper = BlockedQuery(
            is_due=lambda: look()[0] > newer,
            answer=lambda: show(request, look(), consistency),
            hang_up=request.loseConnection,
        )
        gone = request.notifyFinish()
        gone.addBoth(lambda _: self._sleepers.forget(sleeper))
        self._sleepers.add(sleeper, wait)

    def _reaches(self, datacenter: str) -> bool:
        return datacenter in ("", self._agent.catalog.datacenter)

    def _changed(self) -> None:
        self._sleepers.wake()
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        due = self._agent.next_expiry()
        if due is not None:
            left = max(0.0, due - self._clock.seconds())
            self._expiry = self._clock.callLater(left, self._expire)

    def _expire(self) -> None:
        self._agent.expire(self._clock.seconds())
        self._changed()
