"""The standing of an instance, by Consul's answer and the mapping's rules."""

from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from attrs import frozen

from lbconsul.balance.instance import Health, Instance
from lbconsul.balance.pool_spec import InstanceFilter, Selection, Trait


class Standing(Enum):
    """What an upstream may get."""

    SERVING = "serving"
    #: Slow start: less than its weight says, for a while.
    WARMING = "warming"
    #: Old connections only.
    DRAINING = "draining"
    #: Connections to it failed, or an operator ejected it.
    EJECTED = "ejected"
    #: Consul says it is gone or critical, unconfirmed: it is kept in reserve.
    SUSPECT = "suspect"


@frozen
class Verdict:
    """A standing by Consul alone, the weight that goes with it, and the reason."""

    standing: Standing
    weight: int
    reason: str
    #: Whether an operator wants it: maintenance, weight 0.
    deliberate: bool = False
    #: Whether the instance is no longer in Consul's answer.
    is_gone: bool = False
    #: Whether it drains because a check that counts is critical.
    is_critical: bool = False
    #: Whether Consul still lists it, but the mapping does not select it.
    is_unselected: bool = False
    #: Whether the gateway's own check says so, or would but for a pool that fails open.
    is_check: bool = False


#: The verdict on an instance that is no longer in the answer.
GONE = Verdict(Standing.DRAINING, 0, "deregistered", is_gone=True)


#: The verdict on an instance that an operator has drained.
MANUALLY_DRAINED = Verdict(Standing.DRAINING, 0, "drained by hand", deliberate=True)


@frozen
class StandingInfo:
    """The standing of an upstream by all evidence, why, and since when in seconds."""

    standing: Standing
    reason: str
    since: float


@frozen
class Drain:
    """A drain: the upstream gets no new connections."""

    #: When the drain began, in seconds.
    since: float
    #: Whether a critical check caused it, not a deregistration or an operator.
    critical: bool = False


def evaluate(instance: Instance, rules: InstanceFilter) -> Verdict:
    """The verdict on `instance` under `rules`."""
    if rules.tag and not _carries(instance, rules.tag):
        return _unselected(f"lost tag {rules.tag}")
    if rules.selection is not None:
        why = _outside_selection(instance, rules.selection)
        if why:
            return _unselected(why)
    why = instance.skipped or outside(instance, rules)
    if why:
        return Verdict(Standing.DRAINING, 0, why, deliberate=True)
    health = _health(instance, rules)
    weight = _weight(instance, health)
    if health.status not in rules.health:
        deliberate = health.status == "maintenance" or weight <= 0
        return Verdict(
            Standing.DRAINING,
            weight,
            _words(health),
            deliberate,
            is_critical=health.status == "critical" and not deliberate,
        )
    if weight <= 0:
        return Verdict(Standing.DRAINING, 0, "weight 0", deliberate=True)
    return Verdict(Standing.SERVING, weight, _words(health))


def _unselected(why: str) -> Verdict:
    return Verdict(Standing.DRAINING, 0, why, deliberate=True, is_unselected=True)


def _outside_selection(instance: Instance, selection: Selection) -> str:
    """Why an instance is not in this part of an answer; empty if it is."""
    for each in selection.having:
        if not _has(instance, each):
            return f"lost {each}"
    for each in selection.lacking:
        if _has(instance, each):
            return f"got {each}"
    if instance.place in selection.not_at:
        return f"is at {instance.place}"
    return ""


def _has(instance: Instance, trait: Trait) -> bool:
    if trait.key:
        return (trait.key, trait.value) in instance.meta
    if trait.is_exact:
        return trait.tag in instance.tags
    return _carries(instance, trait.tag)


def _carries(instance: Instance, tag: str) -> bool:
    """Whether it has a tag, whatever its case, as in Consul's ``?tag=`` and DNS."""
    wanted = tag.lower()
    return any(each.lower() == wanted for each in instance.tags)


def outside(instance: Instance, rules: InstanceFilter) -> str:
    """Why the rules do not allow an address of `instance`; empty if they do."""
    if not rules.upstream_allow:
        return ""
    for address in instance.addresses:  # any of them may be tried
        is_path = address.startswith("/")
        within = _is_below if is_path else _is_in_network
        if not within(address, rules.upstream_allow):
            what = "path" if is_path else "network"
            return f"{address} is in no {what} of upstream-allow"
    return ""


def _is_below(path: str, allowed: tuple[str, ...]) -> bool:
    """Whether a UNIX socket is an allowed path, or below an allowed directory."""
    paths = (each.removeprefix("unix:") for each in allowed if each[:5] == "unix:")
    return any(path == each or path.startswith(f"{each}/") for each in paths)


def _is_in_network(address: str, allowed: tuple[str, ...]) -> bool:
    ip = ip_address(address)
    return any(ip in network for network in _networks(allowed))


@lru_cache
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each) for each in texts if each[:5] != "unix:")


def _health(instance: Instance, rules: InstanceFilter) -> Health:
    if rules.node_checks:
        return instance.health.worst(instance.node_health)
    return instance.health


def _weight(instance: Instance, health: Health) -> int:
    if instance.own_weight is not None:
        return instance.own_weight
    if health.status == "warning":
        return instance.warning_weight
    return instance.passing_weight


def _words(health: Health) -> str:
    return health.reason or health.status
