"""Reads the body of `/v1/catalog/register`: a node, a service, checks."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from lbconsul.dev.http import HTTPError
from lbconsul.dev.records import Check, Node, Service
from lbconsul.dev.registration import service_from

Said = Mapping[str, Any]


@frozen
class CatalogRegistration:
    """What one request registers, in this order."""

    node: Node
    skip_node: bool
    service: Service | None
    checks: tuple[Check, ...]


def catalog_registration(said: Said) -> CatalogRegistration:
    """The node, its service, and checks of both, from a request's fields."""
    skip = said.get("SkipNodeUpdate", False)
    node = _node(said, skip)
    service = (
        _catalog_service(said["Service"], node.name) if "Service" in said else None
    )
    checks = [said["Check"]] if said.get("Check") else []
    checks += said.get("Checks", [])
    made = tuple(_catalog_check(check, node.name) for check in checks)
    return CatalogRegistration(node, skip, service, made)


def _node(said: Said, skip: bool) -> Node:
    if not said.get("Node"):
        raise HTTPError(500, "Must provide node")
    if not said.get("Address") and not skip:
        raise HTTPError(500, "Must provide address if SkipNodeUpdate is not set")
    return Node(
        said["Node"],
        said.get("Address", ""),
        said.get("ID", ""),
        said.get("TaggedAddresses", {}),
        said.get("NodeMeta", {}),
    )


def _catalog_service(said: Said, node: str) -> Service:
    name = said.get("Service", "")
    if not name and said.get("ID"):
        raise HTTPError(500, "Must provide service name with ID")
    if not name:
        missing = "failed inserting service: object missing primary index"
        raise HTTPError(500, f"failed inserting service: {missing}")
    weights = said.get("Weights", {})
    passing, warning = weights.get("Passing", 0), weights.get("Warning", 0)
    return service_from(said, node, name, (passing, warning) if passing > 0 else (1, 1))


def _catalog_check(said: Said, node: str) -> Check:
    if said.get("Node", node) not in ("", node):
        other = said["Node"]
        raise HTTPError(500, f'check node "{other}" does not match node "{node}"')
    name = said.get("Name", "")
    return Check(
        node=node,
        id=said.get("CheckID") or name,
        name=name,
        status=said.get("Status") or "critical",
        notes=said.get("Notes", ""),
        output=said.get("Output", ""),
        service_id=said.get("ServiceID", ""),
        type=said.get("Type", ""),
    )
