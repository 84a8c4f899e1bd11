"""What a mapping selects, as the registry has it."""

from functools import lru_cache

from attrs import evolve

from lbconsul.balance.pool_spec import (
    FailoverSpec,
    InstanceFilter,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.config.model import Mapping

#: So many mappings' routes are remembered.
_MANY = 1 << 14


@lru_cache(_MANY)
def failover_spec(mapping: Mapping) -> FailoverSpec:
    """The selections that a mapping's connections are balanced over."""
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
    empty = mapping.when_empty
    if len(selections) > 1 or empty.fallback:
        # Another mapping may use the same service, and have nowhere else to go.
        selections = tuple(map(_with_others, selections))
    fallback = ServiceQuery(empty.fallback, fixed=empty.is_address)
    return FailoverSpec(
        selections,
        _with_others(_selection(mapping, fallback)) if empty.fallback else None,
        mapping.failback_after,
    )


def _with_others(selection: PoolSpec) -> PoolSpec:
    """The same, as one of several pools."""
    return evolve(selection, patience=evolve(selection.patience, whole=True))


def _selection(mapping: Mapping, question: ServiceQuery) -> PoolSpec:
    # An address has neither tags nor checks, and the operator named it.
    named = InstanceFilter(
        mapping.tag, mapping.health, mapping.node_checks, mapping.upstream_allow
    )
    rules = InstanceFilter() if question.fixed else named
    first = mapping.eject_base_time
    early_close = mapping.eject_on_early_close
    patience = OutlierConfig(mapping.eject_after, first, spoiled=early_close)
    if patience.longest < first:
        patience = evolve(patience, longest=first)
    return PoolSpec(
        question,
        rules,
        mapping.policy,
        patience,
        ShrinkGuardConfig(
            mapping.shrink_guard / 100,
            mapping.shrink_hold,
            # Who wants connections closed at once wants no new ones either.
            critical=not mapping.close_on_critical,
        ),
        mapping.slow_start,
        mapping.max_connections_per_upstream,
    )
