"""The state of Consul's servers: nodes, services, checks, and when each changed.

Every command raises the index; a change raises the indexes of what it touched. Each
service has an index of its own, so a blocking query for one service does not wake for
changes of others.  A service without instances has the index of the last time that any
service lost its last one.
"""

from collections.abc import Iterable
from typing import TypeVar

from attrs import define, evolve, field

from lbconsul.dev.http import HTTPError
from lbconsul.dev.records import Check, Instance, Node, Row, Service, Value

Key = TypeVar("Key")

DATACENTER = "dc1"


@define(eq=False)
class Catalog:
    """The state of the servers of one datacenter."""

    datacenter: str = DATACENTER
    _index: int = 0
    _nodes: dict[str, Row[Node]] = field(factory=dict)
    _services: dict[tuple[str, str], Row[Service]] = field(factory=dict)
    _checks: dict[tuple[str, str], Row[Check]] = field(factory=dict)
    _by_service: dict[str, int] = field(factory=dict)
    _last_extinction: int = 0
    _changed_nodes: int = 0
    _changed_services: int = 0
    _changed_checks: int = 0

    def command(self) -> None:
        """Begin a command: all its changes share one index."""
        self._index += 1

    def put_node(self, node: Node) -> None:
        """Register a node, or update it."""
        if self._put(self._nodes, node.name, node):
            self._changed_nodes = self._index
            self._touch(self._services_on(node.name))

    def put_service(self, service: Service) -> None:
        """Register a service on a known node."""
        if self._put(self._services, (service.node, service.id), service):
            self._changed_services = self._index
            self._touch([service])

    def put_check(self, check: Check) -> None:
        """Register a check; a service's check takes the service's name and tags."""
        subject = self._services.get((check.node, check.service_id))
        if subject is not None:
            service = subject.value
            named = evolve(check, service_name=service.name, service_tags=service.tags)
            self._put_check(named, [service])
        elif check.service_id:
            said = f'Missing service registration on node "{check.node}"'
            raise HTTPError(500, f"failed inserting check: {said}")
        else:
            self._put_check(check, self._services_on(check.node))

    def _put_check(self, check: Check, subjects: Iterable[Service]) -> None:
        if self._put(self._checks, (check.node, check.id), check):
            self._changed_checks = self._index
            self._touch(subjects)

    def drop_node(self, name: str) -> None:
        """Remove a node with all its services and checks; an unknown one is ignored."""
        for service in self._services_on(name):
            self.drop_service(name, service.id)
        for node, check in list(self._checks):
            if node == name:
                self.drop_check(node, check)
        if self._nodes.pop(name, None) is not None:
            self._changed_nodes = self._index

    def drop_service(self, node: str, service_id: str) -> None:
        """Remove a service with its checks; an unknown one is ignored."""
        for key, row in list(self._checks.items()):
            if row.value.service_id == service_id != "" and key[0] == node:
                self.drop_check(*key)
        gone = self._services.pop((node, service_id), None)
        if gone is None:
            return
        self._changed_services = self._index
        self._touch([gone.value])
        if not self._is_served(gone.value.name):
            self._last_extinction = self._index
            del self._by_service[gone.value.name]

    def drop_check(self, node: str, check_id: str) -> None:
        """Remove a check; an unknown one is ignored."""
        gone = self._checks.pop((node, check_id), None)
        if gone is None:
            return
        self._changed_checks = self._index
        mine = gone.value.service_id
        on_node = self._services_on(node)
        self._touch(s for s in on_node if not mine or s.id == mine)

    def knows_node(self, name: str) -> bool:
        return name in self._nodes

    def nodes(self) -> tuple[int, list[Row[Node]]]:
        """Every node, and the index of the last change of any."""
        rows = [self._nodes[name] for name in sorted(self._nodes)]
        return self._changed_nodes, rows

    def service_tags(self) -> tuple[int, dict[str, list[str]]]:
        """Every service's tags, and the index of the last change of any service."""
        tags: dict[str, dict[str, None]] = {}
        for _, row in sorted(self._services.items(), key=lambda item: item[0]):
            tags.setdefault(row.value.name, {}).update(dict.fromkeys(row.value.tags))
        return self._changed_services, {name: list(tags[name]) for name in sorted(tags)}

    def instances(self, name: str) -> tuple[int, list[Instance]]:
        """The instances of a service, and the index of the last change to them."""
        found = [
            Instance(self._nodes[node], row, self._checks_of(row.value))
            for (node, _), row in sorted(self._services.items(), key=lambda i: i[0])
            if row.value.name == name
        ]
        return self._index_of(name), found

    def _index_of(self, name: str) -> int:
        if name in self._by_service and self._is_served(name):
            return self._by_service[name]
        tables = self._changed_nodes, self._changed_services, self._changed_checks
        return self._last_extinction or max(tables)

    def _checks_of(self, service: Service) -> tuple[Row[Check], ...]:
        """The checks of the service's node, then its own, each sorted by id."""
        ours = [
            row
            for key, row in sorted(self._checks.items(), key=lambda item: item[0])
            if key[0] == service.node and row.value.service_id in ("", service.id)
        ]
        return tuple(sorted(ours, key=lambda row: row.value.service_id != ""))

    def _services_on(self, node: str) -> list[Service]:
        return [row.value for key, row in self._services.items() if key[0] == node]

    def _is_served(self, name: str) -> bool:
        return any(row.value.name == name for row in self._services.values())

    def _touch(self, services: Iterable[Service]) -> None:
        self._by_service.update({service.name: self._index for service in services})

    def _put(self, rows: dict[Key, Row[Value]], key: Key, value: Value) -> bool:
        """Store the value; return whether it changed anything."""
        old = rows.get(key)
        if old is not None and old.value == value:
            return False
        created = self._index if old is None else old.created
        rows[key] = Row(value, created, self._index)
        return True
