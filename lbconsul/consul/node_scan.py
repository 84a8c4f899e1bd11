"""Looks at nodes, one after the other, for services that Consul has changed there.

An entry of a node's services has the index of its last change: if Consul's answer about
the service is older the service has changed.  An instance that is known and not listed
is gone.  So a node tells exactly what has changed, with or without checks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.describe import in_words
from lbconsul.consul.entries import entries, inner_members
from lbconsul.consul.list_watch import Reading, in_slices
from lbconsul.consul.query_loop import FORESEEN
from lbconsul.errors import UnusableAnswer
from lbconsul.net.rate_limit import TokenBucket

#: The list of all nodes, and the services of one.
#: https://developer.hashicorp.com/consul/api-docs/catalog#list-nodes
#: https://developer.hashicorp.com/consul/api-docs/catalog#retrieve-map-of-services-for-a-node
NODES = "/v1/catalog/nodes"
_NODE = "/v1/catalog/node/"

#: How many nodes are looked at a second, and the burst before that; how many bytes a
#: second; and the longest pause after one, in seconds, which also follows a failure.
RATE, BURST = 20.0, 100.0
BYTES = 2_000_000.0
LONGEST_PAUSE = 5.0


class Registered(NamedTuple):
    """An instance in a node's list of services."""

    service: str
    service_id: str
    #: The index of its last change.
    modified: int


#: The index of each node's last change, by its name.
Nodes = Mapping[str, int]


def reading_nodes(reply: Reply) -> Reading[Nodes]:
    """The nodes of an answer.

    :raises UnusableAnswer: the answer is not valid.
    """
    found = dict[str, int]()
    for entry in entries(reply.body):
        match entry:
            case {"Node": str(name), "ModifyIndex": int(index)}:
                found[name] = index
            case _:
                raise UnusableAnswer("an entry is not a node")
        yield
    return found


def reading_services(reply: Reply) -> Reading[list[Registered]]:
    """The instances of an answer about one node; none if there is no such node.

    :raises UnusableAnswer: the answer is not valid.
    """
    found = list[Registered]()
    for service_id, entry in inner_members(reply.body, "Services"):
        match entry:
            case {"Service": str(service), "ModifyIndex": int(index)}:
                found.append(Registered(service, service_id, index))
            case _:
                raise UnusableAnswer("a member of Services is not a service")
        yield
    return found


@define(eq=False)
class Places:
    """Which instances of services are known, by their nodes."""

    #: The ids of each service on each node.
    _ids: dict[str, dict[str, set[str]]] = Factory(lambda: defaultdict(dict))
    #: The nodes of each service.
    _nodes: dict[str, set[str]] = Factory(dict)

    def put(self, service: str, instances: Iterable[tuple[str, str]]) -> None:
        """A service has these instances, each with its node and its id there."""
        for node in self._nodes.pop(service, ()):
            del self._ids[node][service]
            if not self._ids[node]:
                del self._ids[node]
        for node, service_id in instances:
            self._ids[node].setdefault(service, set()).add(service_id)
            self._nodes.setdefault(service, set()).add(node)

    def services(self, node: str) -> Iterable[str]:
        """The services with an instance on a node."""
        return tuple(self._ids.get(node, ()))

    def changed(
        self,
        node: str,
        found: Iterable[Registered],
        last: Callable[[str], int],
    ) -> list[str]:
        """The services that have other instances on a node than was known: `found` is
        what is registered, and `last` has the index of the last answer about a service,
        0 without one.
        """
        there, result = defaultdict[str, set[str]](set), dict[str, None]()
        for each in found:
            there[each.service].add(each.service_id)
            if 0 < last(each.service) < each.modified:
                result[each.service] = None
        for service, known in self._ids.get(node, {}).items():
            if not known <= there[service]:
                result[service] = None
        return list(result)


@define(eq=False)
class NodeScan(Service):
    """Looks at nodes in turn, as fast as the rates allow."""

    _log = Logger()
    _clock: IReactorTime
    _client: ConsulClient
    _datacenter: str
    #: The index of the last answer about a service; 0 without one.
    _last: Callable[[str], int]
    #: Called with services that have changed.
    _on_change: Callable[[Iterable[str]], object]
    #: Called after a failure: nothing is known about a node.
    _on_failure: Callable[[], object]
    places: Places = Factory(Places)
    _due: dict[str, None] = Factory(dict)
    _bucket: TokenBucket = Factory(lambda: TokenBucket(RATE, BURST))
    _scan: Deferred[None] | None = None
    _is_failing: bool = False

    def look(self, nodes: Iterable[str]) -> None:
        """Look at these nodes, after those that are due already."""
        self._due.update(dict.fromkeys(nodes))
        if self._due and self._scan is None and self.running:
            scan = self._scan = Deferred.fromCoroutine(self._run())
            scan.addErrback(lambda why: why.trap(CancelledError))
            scan.addCallback(self._over)

    def use_client(self, client: ConsulClient) -> None:
        """Ask this client from now on."""
        self._client = client

    def stopService(self) -> Any:
        super().stopService()
        if self._scan is not None:
            self._scan.cancel()

    def _over(self, _: object) -> None:
        self._scan = None
        self.look(())

    async def _run(self) -> None:
        while self._due and self.running:
            node = next(iter(self._due))
            del self._due[node]
            pause = self._bucket.take(self._clock.seconds())
            if pause:
                await deferLater(self._clock, pause)
            pause = await self._look_at(node)
            await deferLater(self._clock, pause)

    async def _look_at(self, node: str) -> float:
        """Look at one; the pause afterwards."""
        path = _NODE + quote(node, safe="")
        try:
            reply = await self._client.ask_list(path, self._datacenter, 0, 0)
            found = await in_slices(self._clock, reading_services(reply))
        except Exception as error:
            if self.running:
                self._failed(error)
            return LONGEST_PAUSE
        self._is_failing = False
        changed = self.places.changed(node, found, self._last)
        if changed:
            self._on_change(changed)
        return min(len(reply.body) / BYTES, LONGEST_PAUSE)

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            if not isinstance(error, FORESEEN):
                self._log.failure("a bug in lbconsul: a node cannot be looked at")
            self._log.warn(
                "services with routes: no list of a node's services: {error}; each"
                " service is asked in turn",
                error=in_words(error),
            )
        self._on_failure()
