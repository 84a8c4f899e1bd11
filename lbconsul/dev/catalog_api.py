"""The paths below `/v1/catalog/` and `/v1/health/`: the servers' state."""

from collections.abc import Callable

from attrs import frozen

from lbconsul.dev.catalog import Catalog
from lbconsul.dev.catalog_registration import catalog_registration
from lbconsul.dev.http import Action, ConsulRequest, HTTPError, Routes, View, Watch
from lbconsul.dev.payload import read
from lbconsul.dev.records import Instance
from lbconsul.dev.schemas import CATALOG_DEREGISTER, CATALOG_REGISTER
from lbconsul.dev.views import catalog_json, health_json, node_json

LEADER = "127.0.0.1:8300"

#: As `View`, but with instances instead of JSON.
Find = Callable[[], tuple[int, list[Instance]]]


@frozen
class CatalogApi:
    """The HTTP API of the catalog."""

    _catalog: Catalog

    def routes(self) -> Routes:
        return {
            "/v1/health/service/": Watch(self._health),
            "/v1/catalog/service/": Watch(self._service),
            "/v1/catalog/services": Watch(self._services),
            "/v1/catalog/nodes": Watch(self._nodes),
            "/v1/catalog/register": Action("PUT", self._register),
            "/v1/catalog/deregister": Action("PUT", self._deregister),
            "/v1/status/leader": Action("GET", lambda asked: LEADER),
        }

    def _health(self, asked: ConsulRequest) -> View:
        passing = asked.has("passing") and (
            asked.first("passing") == ""
            or asked.truth("passing", "Invalid value for ?passing")
        )
        wanted = self._instances(asked)

        def look() -> tuple[int, object]:
            index, found = wanted()
            listed = [one for one in found if one.is_passing() or not passing]
            return index, [health_json(one, self._catalog.datacenter) for one in listed]

        return look

    def _service(self, asked: ConsulRequest) -> View:
        wanted = self._instances(asked)

        def look() -> tuple[int, object]:
            index, found = wanted()
            return index, [catalog_json(one, self._catalog.datacenter) for one in found]

        return look

    def _instances(self, asked: ConsulRequest) -> Find:
        if not asked.name:
            raise HTTPError(400, "Missing service name")
        tags = tuple(asked.args.get("tag", ()))

        def find() -> tuple[int, list[Instance]]:
            index, found = self._catalog.instances(asked.name)
            return index, [one for one in found if one.is_tagged(tags)]

        return find

    def _services(self, asked: ConsulRequest) -> View:
        return self._catalog.service_tags

    def _nodes(self, asked: ConsulRequest) -> View:
        def look() -> tuple[int, object]:
            index, rows = self._catalog.nodes()
            return index, [node_json(row, self._catalog.datacenter) for row in rows]

        return look

    def _register(self, asked: ConsulRequest) -> bool:
        fields = read(asked.body, CATALOG_REGISTER)
        self._refuse_others(fields.get("Datacenter", ""))
        wanted = catalog_registration(fields)
        self._catalog.command()
        known = self._catalog.knows_node(wanted.node.name)
        if not (wanted.skip_node and known):
            self._catalog.put_node(wanted.node)
        if wanted.service is not None:
            self._catalog.put_service(wanted.service)
        for check in wanted.checks:
            self._catalog.put_check(check)
        return True

    def _deregister(self, asked: ConsulRequest) -> bool:
        fields = read(asked.body, CATALOG_DEREGISTER)
        self._refuse_others(fields.get("Datacenter", ""))
        node = fields.get("Node")
        if not node:
            raise HTTPError(500, "Must provide node")
        self._catalog.command()
        if fields.get("ServiceID"):
            self._catalog.drop_service(node, fields["ServiceID"])
        elif fields.get("CheckID"):
            self._catalog.drop_check(node, fields["CheckID"])
        else:
            self._catalog.drop_node(node)
        return True

    def _refuse_others(self, datacenter: str) -> None:
        if datacenter not in ("", self._catalog.datacenter):
            raise HTTPError(500, "No path to datacenter")
