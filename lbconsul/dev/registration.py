"""Reads the bodies sent to an agent: services and checks of its node."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from lbconsul.dev.agent import CheckSpec
from lbconsul.dev.http import HTTPError
from lbconsul.dev.reaper import LEAST
from lbconsul.dev.records import Check, Service, TaggedAddress

Fields = Mapping[str, Any]
Weights = tuple[int, int]

STATUSES = ("passing", "warning", "critical")
ANY_ADDRESS = ("0.0.0.0", "::", "[::]")
FAMILY_TAGS = ("lan_ipv4", "wan_ipv4", "lan_ipv6", "wan_ipv6")


def agent_service(fields: Fields, node: str) -> tuple[Service, list[CheckSpec]]:
    """A service and its checks, from the fields of a request to an agent."""
    name = fields.get("Name", "")
    if not name:
        raise HTTPError(400, "Missing service name")
    _refuse_odd_meta(fields.get("Meta", {}))
    tagged = fields.get("TaggedAddresses") or fields.get("tagged_addresses", {})
    override = fields.get("EnableTagOverride", fields.get("enable_tag_override", False))
    complete = {**fields, "TaggedAddresses": tagged, "EnableTagOverride": override}
    weights = _agent_weights(fields.get("Weights"))
    service = _with_families(service_from(complete, node, name, weights))
    return service, _own_checks(fields, service)


def agent_check(fields: Fields, node: str) -> CheckSpec:
    """A check of the node or of a service on it, from a request to an agent."""
    name = fields.get("Name", "")
    if not name:
        raise HTTPError(400, "Missing check name")
    if fields.get("Status", "") not in ("", *STATUSES):
        raise HTTPError(400, "Bad check status")
    service = fields.get("ServiceID") or fields.get("service_id", "")
    return _wanted(fields, fields.get("ID") or name, name, node, service)


def check_update(fields: Fields) -> tuple[str, str]:
    """The status and the output in a check's update."""
    status = fields.get("Status", "")
    if status not in STATUSES:
        raise HTTPError(400, f"Invalid check status: '{status}'")
    return status, fields.get("Output", "")


def service_from(fields: Fields, node: str, name: str, weights: Weights) -> Service:
    """The service that the fields describe, for agents and the catalog alike."""
    if fields.get("Address") in ANY_ADDRESS:
        raise HTTPError(400, "Invalid service address")
    tagged = fields.get("TaggedAddresses", {})
    return Service(
        node=node,
        id=fields.get("ID") or name,
        name=name,
        address=fields.get("Address", ""),
        port=fields.get("Port", 0),
        tags=tuple(fields.get("Tags", ())),
        meta=fields.get("Meta", {}),
        tagged_addresses={
            tag: TaggedAddress(where.get("Address", ""), where.get("Port", 0))
            for tag, where in tagged.items()
        },
        weight_passing=weights[0],
        weight_warning=weights[1],
        enable_tag_override=fields.get("EnableTagOverride", False),
        kind=fields.get("Kind", ""),
        socket_path=fields.get("SocketPath", ""),
    )


def _with_families(service: Service) -> Service:
    """Add the tagged address of its family to a service whose address is an IP."""
    for tag, where in service.tagged_addresses.items():
        must = tag.rpartition("_ipv")[2] if tag in FAMILY_TAGS else ""
        if must and _family(where.address) != must:
            why = f'Service tagged address "{tag}" must be a valid ipv{must} address'
            raise HTTPError(500, why)
    family = _family(service.address)
    if not family:
        return service
    own = TaggedAddress(service.address, service.port)
    tags = [f"{where}_ipv{family}" for where in ("lan", "wan")]
    tagged = {**dict.fromkeys(tags, own), **service.tagged_addresses}
    return evolve(service, tagged_addresses=tagged)


def _family(address: str) -> str:
    """The address's IP version; empty if it is a name."""
    try:
        return str(ipaddress.ip_address(address).version)
    except ValueError:
        return ""


def _agent_weights(fields: Fields | None) -> Weights:
    if fields is None:
        return 1, 1
    passing, warning = fields.get("Passing", 0), fields.get("Warning", 0)
    wrong = ""
    if passing < 1:
        wrong = "Passing must be greater than 0"
    elif warning < 0:
        wrong = "Warning must be greater or equal than 0"
    elif max(passing, warning) > 65535:
        wrong = "DNS Weight must be between 0 and 65535"
    if wrong:
        raise HTTPError(400, f"Invalid Weights: {wrong}")
    return passing, warning


def _refuse_odd_meta(meta: Mapping[str, str]) -> None:
    for key, value in meta.items():
        wrong = _odd(key, value)
        if wrong:
            pair = f"metadata pair ('{key}', '{value}'): {wrong}"
            raise HTTPError(400, f"Invalid Service Meta: Couldn't load {pair}")


def _odd(key: str, value: str) -> str:
    """Why Consul rejects one pair of metadata; empty if it does not."""
    if not key:
        return "Key cannot be blank"
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", key):
        return "Key contains invalid characters"
    if len(key) > 128:
        return "Key is too long (limit: 128 characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    return "Value is too long (limit: 512 characters)" if len(value) > 512 else ""


def _own_checks(fields: Fields, service: Service) -> list[CheckSpec]:
    """The checks that come with a service, named after it unless they have names."""
    one = fields.get("Check", {})
    asked = [*([one] if any(one.values()) else []), *fields.get("Checks", ())]
    return [
        _own_check(check, service, f":{number}" if len(asked) > 1 else "")
        for number, check in enumerate(asked, 1)
    ]


def _own_check(fields: Fields, service: Service, suffix: str) -> CheckSpec:
    if fields.get("Status", "") not in ("", *STATUSES):
        must = "'passing', 'warning', 'critical'"
        raise HTTPError(400, f"Status for checks must {must}")
    check_id = fields.get("CheckID") or f"service:{service.id}{suffix}"
    name = fields.get("Name") or f"Service '{service.name}' check"
    return _wanted(fields, check_id, name, service.node, service.id)


def _wanted(
    fields: Fields, check_id: str, name: str, node: str, service: str
) -> CheckSpec:
    if fields.get("TTL", 0) <= 0:
        raise HTTPError(400, "Invalid check: TTL must be > 0 for TTL checks")
    check = Check(
        node=node,
        id=check_id,
        name=name,
        status=fields.get("Status") or "critical",
        notes=fields.get("Notes", ""),
        service_id=service,
        type="ttl",
    )
    return CheckSpec(check, fields["TTL"], _removed_after(fields))


def _removed_after(fields: Fields) -> float | None:
    """How long its service may be critical, in seconds; None: for ever."""
    after: float = fields.get("DeregisterCriticalServiceAfter", 0.0)
    return max(after, LEAST) if after > 0 else None
