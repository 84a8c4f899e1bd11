"""A node, a service and a check, as values."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import field, frozen

Json = dict[str, object]
Value = TypeVar("Value")


@frozen
class Node:
    """One node: a machine, or what represents it."""

    name: str
    address: str
    id: str = ""
    tagged_addresses: Mapping[str, str] = field(factory=dict)
    meta: Mapping[str, str] = field(factory=dict)


@frozen
class TaggedAddress:
    """A further address of a service, for clients that use its tag."""

    address: str
    port: int = 0

    def json(self) -> Json:
        return {"Address": self.address, "Port": self.port}


@frozen
class Service:
    """One registration of a service on a node."""

    node: str
    id: str
    name: str
    address: str = ""
    port: int = 0
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(factory=dict)
    tagged_addresses: Mapping[str, TaggedAddress] = field(factory=dict)
    weight_passing: int = 1
    weight_warning: int = 1
    enable_tag_override: bool = False
    kind: str = ""
    #: The path of a UNIX socket, in Consul 1.10 and newer.
    socket_path: str = ""

    def weights(self) -> Json:
        return {"Passing": self.weight_passing, "Warning": self.weight_warning}

    def _tagged(self) -> Json:
        tagged = {tag: where.json() for tag, where in self.tagged_addresses.items()}
        return {"TaggedAddresses": tagged} if tagged else {}

    def json(self) -> Json:
        """The JSON of an agent's list: without indexes, which an agent does not
        have.
        """
        return {
            **({"Kind": self.kind} if self.kind else {}),
            "ID": self.id,
            "Service": self.name,
            "Tags": list(self.tags),
            "Meta": dict(self.meta),
            "Port": self.port,
            "Address": self.address,
            **({"SocketPath": self.socket_path} if self.socket_path else {}),
            **self._tagged(),
            "Weights": self.weights(),
            "EnableTagOverride": self.enable_tag_override,
        }


@frozen
class Check:
    """One check of a node, or of one service on it."""

    node: str
    id: str
    name: str
    status: str = "critical"
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    type: str = ""

    def json(self, created: int = 0, modified: int = 0) -> Json:
        """The JSON of the check in any list; an agent has no indexes and gives 0."""
        return {
            "Node": self.node,
            "CheckID": self.id,
            "Name": self.name,
            "Status": self.status,
            "Notes": self.notes,
            "Output": self.output,
            "ServiceID": self.service_id,
            "ServiceName": self.service_name,
            "ServiceTags": list(self.service_tags),
            "Type": self.type,
            "Definition": {},
            "CreateIndex": created,
            "ModifyIndex": modified,
        }


@frozen
class Row(Generic[Value]):
    """A value in the catalog, with the indexes of its first and last change."""

    value: Value
    created: int
    modified: int

    def indexes(self) -> Json:
        return {"CreateIndex": self.created, "ModifyIndex": self.modified}


@frozen
class Instance:
    """One service with its node and with all checks that apply to it."""

    node: Row[Node]
    service: Row[Service]
    checks: tuple[Row[Check], ...]

    def is_passing(self) -> bool:
        return all(row.value.status == "passing" for row in self.checks)

    def is_tagged(self, tags: tuple[str, ...]) -> bool:
        """Whether the service has all the tags, compared without regard to case."""
        own = {tag.lower() for tag in self.service.value.tags}
        return own.issuperset(tag.lower() for tag in tags)
