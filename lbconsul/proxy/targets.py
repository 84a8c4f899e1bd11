"""Turns a mapping into the pools that the registry balances over."""

from functools import lru_cache
from math import inf

from attrs import evolve

from lbconsul.balance.pool_spec import (
    CheckRules,
    FailoverSpec,
    InstanceFilter,
    OutlierConfig,
    PoolSpec,
    Selection,
    ServiceQuery,
    ShrinkGuardConfig,
    Trait,
)
from lbconsul.config import split
from lbconsul.config.check_spec import CheckSpec
from lbconsul.config.model import Mapping

#: Mappings whose `FailoverSpec` is cached.
_MANY = 1 << 14


@lru_cache(_MANY)
def failover_spec(mapping: Mapping) -> FailoverSpec:
    """The pools of a mapping by priority, and its fallback; not those of its routes."""
    empty = mapping.when_empty
    if not mapping.service and not empty.fallback:
        return FailoverSpec(())
    if not mapping.service:  # its only upstream is an address
        fallback = ServiceQuery(empty.fallback, fixed=empty.is_address)
        return FailoverSpec((), _selection(mapping, fallback))
    selections = tuple(
        _selection(
            mapping,
            ServiceQuery(
                mapping.service,
                dc,
                mapping.filter,
                mapping.near,
                port_name=mapping.port_name,
                tagged_address=mapping.tagged_address,
            ),
        )
        for dc in mapping.dc or ("",)
    )
    if mapping.part is not None and mapping.part.name:
        return _spec_of_part(mapping, selections)
    if len(selections) > 1 or empty.fallback:
        # A spec of its own: another mapping may have only this pool to go to.
        selections = tuple(map(_with_others, selections))
    fallback = ServiceQuery(empty.fallback, fixed=empty.is_address)
    whole = evolve(mapping, selection=None)  # it is another service
    return FailoverSpec(
        selections,
        _with_others(_selection(whole, fallback)) if empty.fallback else None,
        mapping.failback_after,
    )


def _spec_of_part(mapping: Mapping, own: tuple[PoolSpec, ...]) -> FailoverSpec:
    """The pools of a part of a split.

    Its fallback is the first pool of the rest: the client of a part whose instances
    fail goes there, and all of them may be ejected.
    """
    part = mapping.part
    assert part is not None
    own = tuple(map(_with_others, own))
    if not part.service:
        return FailoverSpec(own, None, mapping.failback_after)
    rest = evolve(mapping, service=part.service, selection=part.selection, part=None)
    [first, *_] = failover_spec(rest).selections
    return FailoverSpec(own, first, mapping.failback_after)


def _selected(selected: split.Selection | None) -> Selection | None:
    if selected is None:
        return None
    having, lacking = (
        tuple(Trait(each.tag, each.key, each.value, each.is_exact) for each in traits)
        for traits in (selected.having, selected.lacking)
    )
    return Selection(having, lacking, selected.not_at)


def check_rules(mapping: Mapping) -> CheckRules | None:
    """The own check of a mapping's instances; None if it has none."""
    spec = CheckSpec.of(mapping)
    if spec is None:
        return None
    check = mapping.check
    return CheckRules(spec, check.initial == "down", check.fail_open)


def _with_others(selection: PoolSpec) -> PoolSpec:
    """The same pool, all of which may be ejected while another pool can serve."""
    return evolve(selection, patience=evolve(selection.patience, whole=True))


def _selection(mapping: Mapping, query: ServiceQuery) -> PoolSpec:
    # An address has neither tags nor checks, and the operator named it.
    named = InstanceFilter(
        mapping.tag,
        mapping.health,
        mapping.node_checks,
        mapping.upstream_allow,
        _selected(mapping.selection),
        check_rules(mapping),
    )
    rules = InstanceFilter() if query.fixed else named
    first = mapping.ejection.base_time
    early_close = mapping.ejection.on_early_close
    patience = OutlierConfig(
        mapping.ejection.after,
        first,
        early_close=early_close,
        errors=mapping.http.eject_5xx,
        slow=str(mapping.ejection.slow or ""),
    )
    if patience.longest < first:
        patience = evolve(patience, longest=first)
    return PoolSpec(
        query,
        rules,
        mapping.policy,
        patience,
        ShrinkGuardConfig(
            mapping.shrink_guard.percent / 100,
            mapping.shrink_guard.hold,
            # With close-on-critical, a critical upstream gets no new connections.
            critical=not mapping.drain.close_on_critical,
        ),
        mapping.slow_start,
        mapping.limits.connections_per_upstream,
        mapping.affinity.hash_balance_factor / 100 or inf,
    )
