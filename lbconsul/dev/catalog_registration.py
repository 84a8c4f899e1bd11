"""Reads the body of `/v1/catalog/register`: a node, a service, checks."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from lbconsul.dev.http import HTTPError
from lbconsul.dev.records import Check, Node, Service
from lbconsul.dev.registration import service_from

Fields = Mapping[str, Any]


@frozen
class CatalogRegistration:
    """What one request registers, in this order."""

    node: Node
    skip_node: bool
    service: Service | None
    checks: tuple[Check, ...]


def catalog_registration(fields: Fields) -> CatalogRegistration:
    """The node, its service, and checks of both, from a request's fields."""
    skip = fields.get("SkipNodeUpdate", False)
    node = _node(fields, skip)
    service = (
        _catalog_service(fields["Service"], node.name) if "Service" in fields else None
    )
    checks = [fields["Check"]] if fields.get("Check") else []
    checks += fields.get("Checks", [])
    made = tuple(_catalog_check(check, node.name) for check in checks)
    return CatalogRegistration(node, skip, service, made)


def _node(fields: Fields, skip: bool) -> Node:
    if not fields.get("Node"):
        raise HTTPError(500, "Must provide node")
    if not fields.get("Address") and not skip:
        raise HTTPError(500, "Must provide address if SkipNodeUpdate is not set")
    return Node(
        fields["Node"],
        fields.get("Address", ""),
        fields.get("ID", ""),
        fields.get("TaggedAddresses", {}),
        fields.get("NodeMeta", {}),
    )


def _catalog_service(fields: Fields, node: str) -> Service:
    name = fields.get("Service", "")
    if not name and fields.get("ID"):
        raise HTTPError(500, "Must provide service name with ID")
    if not name:
        missing = "failed inserting service: object missing primary index"
        raise HTTPError(500, f"failed inserting service: {missing}")
    weights = fields.get("Weights", {})
    passing, warning = weights.get("Passing", 0), weights.get("Warning", 0)
    return service_from(
        fields, node, name, (passing, warning) if passing > 0 else (1, 1)
    )


def _catalog_check(fields: Fields, node: str) -> Check:
    if fields.get("Node", node) not in ("", node):
        other = fields["Node"]
        raise HTTPError(500, f'check node "{other}" does not match node "{node}"')
    name = fields.get("Name", "")
    return Check(
        node=node,
        id=fields.get("CheckID") or name,
        name=name,
        status=fields.get("Status") or "critical",
        notes=fields.get("Notes", ""),
        output=fields.get("Output", ""),
        service_id=fields.get("ServiceID", ""),
        type=fields.get("Type", ""),
    )
