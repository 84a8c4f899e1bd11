"""Parses the JSON of ``/v1/health/service`` into instances.  Pure.

https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service
"""

from collections.abc import Generator, Iterable, Mapping
from typing import Any, TypeVar

from attrs import Factory, frozen

from lbconsul.balance.instance import Health, Identity, Instance, Status
from lbconsul.consul.entries import entries
from lbconsul.consul.location import BY_DEFAULT, Location, Pick, locate
from lbconsul.consul.registration import is_circle
from lbconsul.errors import UnusableAnswer
from lbconsul.text import clipped, one_line

#: A key in Meta with a number, or a tag ``lbconsul-weight=N``: it replaces the
#: weights of the registration.
WEIGHT = "lbconsul-weight"

#: Consul's own upper bound of a weight (agent/structs, ``Weights``).
_MOST_WEIGHT = 65535

_NODE_MAINTENANCE = "_node_maintenance"
_SERVICE_MAINTENANCE = "_service_maintenance"

#: How much of a check's output is kept for the status and the log, in characters.
_OUTPUT = 120

#: The longest id, node, datacenter or host of an instance, in characters; an instance
#: with a longer one is skipped.  Host names have at most 253 (RFC 1035); file names
#: and Kubernetes' names stay below it, too.
MOST_NAME = 255

#: The most pairs of a service's metadata, and the longest key and value: Consul's own
#: bounds (agent/structs, ``ValidateServiceMetadata``).  What exceeds them is not kept.
MOST_META, _LONGEST_KEY, _LONGEST_VALUE = 64, 128, 512

#: The most tags of an instance that are kept, and the longest of them, in characters.
#: A tag may be a route with options (`lbconsul.tags`).
MOST_TAGS = 1024
MOST_TAG = 4096

T = TypeVar("T")


#: An entry's instance, and why it is skipped; empty if it is not.
Entry = tuple[Instance, str]


@frozen
class Skipped:
    """An instance that gets no connections, as the status and the log show it."""

    instance: str
    reason: str

    def __str__(self) -> str:
        return f"{self.instance}: {self.reason}"


@frozen
class Catalog:
    """One parsed answer: its instances, and those that are skipped."""

    instances: tuple[Instance, ...]
    skipped: tuple[Skipped, ...] = ()
    #: The reasons of the skipped instances, without those with too long a name.
    unfit: Mapping[Identity, str] = Factory(dict)


#: Parses an answer, one entry a step: the reactor can run between two steps.
Reading = Generator[None, None, Catalog]


def parse(body: bytes, pick: Pick = BY_DEFAULT) -> Catalog:
    """Parse one answer.

    :raises UnusableAnswer: it is not a list of entries as Consul documents
        them.  One invalid entry rejects the whole answer: half an answer would
        remove instances.
    """
    return finished(parsing(body, pick))


def parsing(body: bytes, pick: Pick = BY_DEFAULT) -> Reading:
    """Parse one answer as `parse` does, one entry a step."""
    read = []
    for each in entries(body):
        read.append(read_entry(each, pick))
        yield
    return catalog_of(read)


def finished(reading: Reading) -> Catalog:
    """Run all the steps of `reading` and return its catalog."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            catalog: Catalog = end.value
            return catalog


def catalog_of(read: Iterable[Entry]) -> Catalog:
    """The catalog of these parsed entries."""
    instances, skipped, unfit = [], [], {}
    for instance, why in read:
        if why:
            skipped.append(Skipped(clipped(str(instance), MOST_NAME), why))
            if max(map(len, instance.identity)) <= MOST_NAME:
                unfit[instance.identity] = why
        else:
            instances.append(instance)
    return Catalog(tuple(instances), tuple(skipped), unfit)


def read_entry(entry: object, pick: Pick = BY_DEFAULT) -> Entry:
    """The instance of one entry, and why it is skipped; empty if it is not.

    :raises UnusableAnswer: the entry is not as Consul documents it.
    """
    if not isinstance(entry, dict):
        raise UnusableAnswer("an entry is not an object")
    try:
        location = _location(entry, pick)
        instance = _instance(entry, location)
        return instance, _unfit(entry, instance, location)
    except UnusableAnswer as error:
        raise UnusableAnswer(f"{_whose(entry)}{error}") from None


def _whose(entry: dict[str, Any]) -> str:
    """The prefix of an error that names the entry's instance; empty if it has no id."""
    service, node = entry.get("Service"), entry.get("Node")
    service_id = service.get("ID") if isinstance(service, dict) else None
    at = node.get("Node") if isinstance(node, dict) else None
    if not isinstance(service_id, str):
        return ""
    where = f"@{_line(at)}" if isinstance(at, str) else ""
    return f"{_line(service_id)}{where}: "


def _location(entry: dict[str, Any], pick: Pick) -> Location:
    node, service = _get(entry, "Node", dict), _get(entry, "Service", dict)
    for key in ("Address", "SocketPath"):
        _get(service, key, str, "")
    _get(service, "Port", int, 0)
    if not service.get("Address"):
        _get(node, "Address", str, "" if service.get("SocketPath") else None)
    return locate(node, service, pick)


def _instance(entry: dict[str, Any], location: Location) -> Instance:
    node, service = _get(entry, "Node", dict), _get(entry, "Service", dict)
    weights = _get(service, "Weights", dict, {})
    health, node_health = _healths(_get(entry, "Checks", list, []))
    return Instance(
        identity=Identity(
            _get(node, "Datacenter", str, ""),
            _get(node, "Node", str),
            _get(service, "ID", str),
        ),
        host=location.host,
        port=location.port,
        address=location.address,
        tags=_tags(service),
        meta=_meta(service),
        passing_weight=min(_get(weights, "Passing", int, 1), _MOST_WEIGHT),
        warning_weight=min(_get(weights, "Warning", int, 1), _MOST_WEIGHT),
        own_weight=_own_weight(service),
        health=health,
        node_health=node_health,
        created=max(0, _get(service, "CreateIndex", int, 0)),
    )


def _unfit(entry: dict[str, Any], instance: Instance, location: Location) -> str:
    """Why an entry cannot be an upstream; empty if it can."""
    kind = _get(entry["Service"], "Kind", str, "")
    if kind:
        return f"its kind is {_line(kind)}"
    if is_circle(entry["Service"]):
        return "it is a gateway that balances this service: connections would go round"
    datacenter, node, service_id = instance.identity
    names = {"id": service_id, "node": node, "datacenter": datacenter}
    for what, name in (names | {"address": instance.host}).items():
        if len(name) > MOST_NAME:
            return f"its {what} is {len(name)} characters long, and may be {MOST_NAME}"
    return location.why


def _healths(checks: list[Any]) -> tuple[Health, Health]:
    """The worst of the service's checks and of the node's.

    Maintenance of either counts as the service's.
    """
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
    given = _get(check, "Status", str, "")
    if given == "passing":
        return Health()
    status: Status = "warning" if given == "warning" else "critical"
    output = _line(_get(check, "Output", str, ""))
    words = f"check {_line(check_id)!r} {_line(given) or 'of unknown status'}"
    return Health(status, f"{words}: {output}" if output else words)


def _own_weight(service: dict[str, Any]) -> int | None:
    tags = _tags(service)
    weights = [_get(service, "Meta", dict, {}).get(WEIGHT)]
    weights += [tag.partition("=")[2] for tag in tags if tag.startswith(f"{WEIGHT}=")]
    for text in weights:
        # A weight of ten digits is a mistake, and int() raises at some thousands.
        if isinstance(text, str) and text.isdecimal() and len(text) < 10:
            return min(int(text), _MOST_WEIGHT)
    return None


def _get(of: dict[str, Any], key: str, kind: type[T], default: T | None = None) -> T:
    """The value of `key`, of type `kind`; null counts as absent (Go writes nil so).

    :raises UnusableAnswer: it is of another type, or absent without a default.
    """
    value = of.get(key)
    if value is None:
        value = default
    # bool is an int in Python, but never a port or a weight.
    if not isinstance(value, kind) or isinstance(value, bool):
        found = type(value).__name__  # the value's text may be as long as the answer
        raise UnusableAnswer(f"{key} is {found} instead of {kind.__name__}")
    return value


def _tags(service: dict[str, Any]) -> tuple[str, ...]:
    tags = _get(service, "Tags", list, [])
    if not all(isinstance(each, str) for each in tags):
        raise UnusableAnswer("a tag is not a string")
    return tuple(each for each in tags if len(each) <= MOST_TAG)[:MOST_TAGS]


def _meta(service: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    meta = _get(service, "Meta", dict, {})
    if not meta:  # as most have it
        return ()
    kept = [
        (key, value)
        for key, value in meta.items()
        if isinstance(value, str)
        and len(key) <= _LONGEST_KEY
        and len(value) <= _LONGEST_VALUE
    ]
    return tuple(sorted(kept)[:MOST_META])


def _line(text: str) -> str:
    return one_line(text, _OUTPUT)
