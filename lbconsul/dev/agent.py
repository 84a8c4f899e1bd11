"""One Consul agent: its registrations, TTLs and maintenance.

It keeps its own view of its services and checks and updates the catalog at once.  As
with Consul's, a check whose output alone changes does not change the catalog: the
output goes with the next status.
"""

from collections.abc import Iterable

from attrs import define, evolve, field, frozen

from lbconsul.dev.catalog import Catalog
from lbconsul.dev.http import HTTPError
from lbconsul.dev.reaper import Reaper
from lbconsul.dev.records import Check, Node, Service
from lbconsul.dev.ttls import TTLs

#: The node that the dev catalog runs on, as its agent describes it.
ADDRESS = "127.0.0.1"
NODE = Node(
    "dev",
    ADDRESS,
    "3a266e4e-0000-4000-8000-09b794238739",
    dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), ADDRESS),
    {"consul-network-segment": ""},
)
ALIVE = Check(
    node=NODE.name,
    id="serfHealth",
    name="Serf Health Status",
    status="passing",
    output="Agent alive and reachable",
)
#: Consul's servers list themselves; nothing listens on this port here.
CONSUL = Service(NODE.name, "consul", "consul", port=8300)

NO_REASON = (
    "Maintenance mode is enabled for this {}, but no reason was provided."
    " This is a default message."
)


@frozen
class CheckSpec:
    """A check to be registered, with its TTL."""

    check: Check
    ttl: float
    #: The service is deregistered once it was critical for so long; None: never.
    removed_after: float | None = None


@define(eq=False)
class Agent:
    """The agent of the node that the dev catalog runs on."""

    catalog: Catalog
    node: Node = NODE
    services: dict[str, Service] = field(factory=dict)
    checks: dict[str, Check] = field(factory=dict)
    _ttls: TTLs = field(factory=TTLs)
    _reaper: Reaper = field(factory=Reaper)

    def join(self) -> None:
        """Register the node in the catalog, alive, with all its services and checks."""
        self.catalog.command()
        self.catalog.put_node(self.node)
        self.catalog.put_check(ALIVE)
        for service in (CONSUL, *self.services.values()):
            self.catalog.put_service(service)
        for check in self.checks.values():
            self.catalog.put_check(check)

    def register_service(
        self, service: Service, wanted: Iterable[CheckSpec], replace: bool, now: float
    ) -> None:
        """Add or change a service; its other checks stay unless `replace` is set."""
        self._begin()
        self.services[service.id] = service
        self.catalog.put_service(service)
        kept = set()
        for one in wanted:
            self._put_check(one, now)
            kept.add(one.check.id)
        for check in self._checks_of(service.id):
            if replace and check.id not in kept:
                self._drop_check(check.id)

    def deregister_service(self, service_id: str) -> None:
        """Remove a service with its checks; an unknown one is ignored."""
        if not service_id:
            raise HTTPError(500, "ServiceID missing")
        self._begin()
        for check in self._checks_of(service_id):
            self._drop_check(check.id)
        if self.services.pop(service_id, None) is not None:
            self.catalog.drop_service(self.node.name, service_id)

    def register_check(self, wanted: CheckSpec, now: float) -> None:
        """Add or change a check of the node, or of one service on it."""
        subject = wanted.check.service_id
        if subject and subject not in self.services:
            raise HTTPError(500, f'ServiceID "{subject}" does not exist')
        self._begin()
        self._put_check(wanted, now)

    def deregister_check(self, check_id: str) -> None:
        """Remove a check; an unknown one is ignored."""
        if not check_id:
            raise HTTPError(500, "CheckID missing")
        self._begin()
        self._drop_check(check_id)

    def update_check(self, check_id: str, status: str, output: str, now: float) -> None:
        """Set a check's status and output, which hold for its TTL."""
        if check_id not in self._ttls:
            raise HTTPError(500, f'CheckID "{check_id}" does not have associated TTL')
        self._ttls.renew(check_id, now)
        self._set_status(check_id, status, output, now)

    def maintain_service(self, service_id: str, enable: bool, reason: str) -> None:
        """Put a service into maintenance, or take it back out."""
        if service_id not in self.services:
            raise HTTPError(404, f'No service registered with ID "{service_id}"')
        check = Check(
            node=self.node.name,
            id=f"_service_maintenance:{service_id}",
            name="Service Maintenance Mode",
            notes=reason or NO_REASON.format("service"),
            service_id=service_id,
            type="maintenance",
        )
        self._maintain(check, enable)

    def maintain_node(self, enable: bool, reason: str) -> None:
        """Put the whole node into maintenance, or take it back out."""
        check = Check(
            node=self.node.name,
            id="_node_maintenance",
            name="Node Maintenance Mode",
            notes=reason or NO_REASON.format("node"),
            type="maintenance",
        )
        self._maintain(check, enable)

    def expire(self, now: float) -> None:
        """Turn the checks critical whose TTL is over, and deregister services that
        were critical for too long.
        """
        for check_id in self._reaper.due(now):
            if check_id in self.checks:  # another check may have taken the service out
                self.deregister_service(self.checks[check_id].service_id)
        for check_id in self._ttls.expire(now):
            last = self.checks[check_id].output
            hint = f" (last output before timeout follows): {last}" if last else ""
            self._set_status(check_id, "critical", f"TTL expired{hint}", now)

    def next_expiry(self) -> float | None:
        """When `expire` has something to do, if no check is updated until then; None
        if never.
        """
        ends = (self._ttls.next(), self._reaper.next())
        return min((each for each in ends if each is not None), default=None)

    def _begin(self) -> None:
        """Start a command; register the node again if it was removed from the
        catalog.
        """
        if self.catalog.knows_node(self.node.name):
            self.catalog.command()
        else:
            self.join()

    def _put_check(self, wanted: CheckSpec, now: float) -> None:
        """Register a check; an existing one keeps its status and output."""
        check, old = wanted.check, self.checks.get(wanted.check.id)
        if old is not None:
            check = evolve(check, status=old.status, output=old.output)
        self._ttls.start(check.id, wanted.ttl, now)
        self._reaper.limit(check.id, wanted.removed_after)
        self._reaper.note(check.id, check.status, now)
        self._publish(check)

    def _set_status(self, check_id: str, status: str, output: str, now: float) -> None:
        self._reaper.note(check_id, status, now)
        old = self.checks[check_id]
        new = evolve(old, status=status, output=output)
        if old.status == status:
            self.checks[check_id] = new
        else:
            self._begin()
            self._publish(new)

    def _maintain(self, check: Check, enable: bool) -> None:
        """Enable or disable maintenance; enabling it twice does not change the
        reason.
        """
        self._begin()
        if not enable:
            self._drop_check(check.id)
        elif check.id not in self.checks:
            self._publish(check)

    def _publish(self, check: Check) -> None:
        subject = self.services.get(check.service_id)
        if subject is not None:
            self.catalog.put_service(subject)
            check = evolve(check, service_name=subject.name, service_tags=subject.tags)
        self.checks[check.id] = check
        self.catalog.put_check(check)

    def _drop_check(self, check_id: str) -> None:
        """Remove a check of this agent; checks registered by others on the node
        stay.
        """
        self._ttls.forget(check_id)
        self._reaper.forget(check_id)
        if self.checks.pop(check_id, None) is not None:
            self.catalog.drop_check(self.node.name, check_id)

    def _checks_of(self, service_id: str) -> list[Check]:
        return [c for c in self.checks.values() if c.service_id == service_id]
