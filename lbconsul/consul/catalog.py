"""From the JSON of ``/v1/health/service`` to instances.  Pure.

https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service
"""

import json
from ipaddress import ip_address
from typing import Any, TypeVar

from attrs import frozen

from lbconsul.balance.instance import Health, Identity, Instance, Status
from lbconsul.errors import UnusableAnswer

#: In Meta with a number, or as a tag ``lbconsul-weight=N``: replaces the
#: weights of the registration.
WEIGHT = "lbconsul-weight"

#: Consul's own upper bound of a weight (agent/structs, ``Weights``).
_MOST_WEIGHT = 65535

_NODE_MAINTENANCE = "_node_maintenance"
_SERVICE_MAINTENANCE = "_service_maintenance"

#: How much of a check's output is kept for people to read, in characters.
_OUTPUT = 120

T = TypeVar("T")


@frozen
class Catalog:
    """One answer: its instances, and a sentence for each entry left out."""

    instances: tuple[Instance, ...]
    skipped: tuple[str, ...] = ()


def parse(body: bytes) -> Catalog:
    """Read one answer.

    :raises UnusableAnswer: it is not a list of entries as Consul documents
        them.  One wrong entry spoils the whole: half an answer would take
        instances away.
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"not JSON: {error}") from None
    if not isinstance(entries, list):
        raise UnusableAnswer(f"JSON, but {type(entries).__name__} instead of a list")
    read = [read_entry(entry) for entry in entries]
    return Catalog(
        tuple(instance for instance, why in read if not why),
        tuple(f"{instance}: {why}" for instance, why in read if why),
    )


def read_entry(entry: object) -> tuple[Instance, str]:
    """The instance of one entry, and why it is to be left out, or nothing.

    :raises UnusableAnswer: it is no entry as Consul documents them.
    """
    if not isinstance(entry, dict):
        raise UnusableAnswer("an entry is not an object")
    instance = _instance(entry)
    return instance, _unfit(entry, instance)


def _instance(entry: dict[str, Any]) -> Instance:
    node, service = _get(entry, "Node", dict), _get(entry, "Service", dict)
    weights = _get(service, "Weights", dict, {})
    health, node_health = _healths(_get(entry, "Checks", list, []))
    host = _get(service, "Address", str, "") or _get(node, "Address", str)
    return Instance(
        identity=Identity(
            _get(node, "Datacenter", str, ""),
            _get(node, "Node", str),
            _get(service, "ID", str),
        ),
        host=host,
        port=_get(service, "Port", int, 0),
        address=host if _is_ip(host) else "",
        tags=tuple(_strings(_get(service, "Tags", list, []))),
        passing_weight=min(_get(weights, "Passing", int, 1), _MOST_WEIGHT),
        warning_weight=min(_get(weights, "Warning", int, 1), _MOST_WEIGHT),
        own_weight=_own_weight(service),
        health=health,
        node_health=node_health,
    )


def _unfit(entry: dict[str, Any], instance: Instance) -> str:
    """Why an entry is no plain backend, or nothing."""
    kind = _get(entry["Service"], "Kind", str, "")
    if kind:
        return f"its kind is {_line(kind)}"
    if not 1 <= instance.port <= 65535:
        return f"its port is {instance.port}"
    if not instance.host:
        return "neither the service nor its node has an address"
    return ""


def _healths(checks: list[Any]) -> tuple[Health, Health]:
    """The worst of the service's checks with any maintenance, and of the node's."""
    service, node = Health(), Health()
    for check in checks:
        if not isinstance(check, dict):
            raise UnusableAnswer("a check is not an object")
        health = _health(check)
        if _get(check, "ServiceID", str, "") or health.status == "maintenance":
            service = service.worst(health)
        else:
            node = node.worst(health)
    return service, node


def _health(check: dict[str, Any]) -> Health:
    check_id = _get(check, "CheckID", str, "")
    if check_id == _NODE_MAINTENANCE or check_id.startswith(_SERVICE_MAINTENANCE):
        why = _line(_get(check, "Notes", str, ""))
        return Health("maintenance", f"maintenance: {why}" if why else "maintenance")
    said = _get(check, "Status", str, "")
    if said == "passing":
        return Health()
    status: Status = "warning" if said == "warning" else "critical"
    output = _line(_get(check, "Output", str, ""))
    words = f"check {_line(check_id)!r} {_line(said) or 'of unknown status'}"
    return Health(status, f"{words}: {output}" if output else words)


def _own_weight(service: dict[str, Any]) -> int | None:
    tags = _strings(_get(service, "Tags", list, []))
    said = [_get(service, "Meta", dict, {}).get(WEIGHT)]
    said += [tag.partition("=")[2] for tag in tags if tag.startswith(f"{WEIGHT}=")]
    for text in said:
        # Nobody means a weight of ten digits, and int() raises at some thousands.
        if isinstance(text, str) and text.isdecimal() and len(text) < 10:
            return min(int(text), _MOST_WEIGHT)
    return None


def _get(of: dict[str, Any], key: str, kind: type[T], default: T | None = None) -> T:
    """The value of `key`, of `kind`; null counts as absent, as Go writes nil so."""
    value = of.get(key)
    if value is None:
        value = default
    # bool is an int to Python, and no port or weight to us.
    if not isinstance(value, kind) or isinstance(value, bool):
        said = type(value).__name__  # its text may be as long as the answer
        raise UnusableAnswer(f"{key} is {said} instead of {kind.__name__}")
    return value


def _strings(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise UnusableAnswer("a tag is not a string")
    return values


def _line(text: str) -> str:
    """The beginning of `text` as one line without control characters."""
    words = " ".join(text[: 4 * _OUTPUT].split())
    return "".join(char for char in words if char.isprintable())[:_OUTPUT]


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
