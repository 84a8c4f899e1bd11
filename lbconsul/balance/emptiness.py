"""Explains to the operator why a pool has no usable upstream.  Pure."""

from collections import Counter
from collections.abc import Collection, Set

from attrs import evolve

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import InstanceFilter
from lbconsul.balance.standing import (
    MANUALLY_DRAINED,
    Standing,
    Verdict,
    evaluate,
    outside,
)
from lbconsul.text import listed

#: The most characters shown of a sentence that contains words from registrations.
_LONGEST_SENTENCE = 200


def why_empty(
    instances: Collection[Instance],
    rules: InstanceFilter,
    drained: Set[Identity] = frozenset(),
    skipped: Collection[str] = (),
    failing: Set[Identity] = frozenset(),
) -> str:
    """Why none of the `instances` of an answer may get connections.

    `skipped` has the reason for each entry that was left out, and `failing` the
    instances that the gateway's own check keeps from serving.  The text is empty if an
    instance is usable, or if there is no entry at all: then the query may be wrong.
    """
    if not instances:
        return _of_skipped(skipped)
    verdicts = [(each, evaluate(each, rules)) for each in instances]
    selected = [each for each in verdicts if not each[1].is_unselected]
    if not selected:
        return _of_none_selected(instances, rules)
    states = Counter(_state(*each, rules, drained, failing) for each in selected)
    if "serving" in states:
        return ""
    counts = " and ".join(f"{count} {state}" for state, count in states.most_common())
    wish = f"; health={','.join(sorted(rules.health))}" if "warning" in states else ""
    return f"{_instances(len(selected))}, none usable: {counts}{wish}"


def _of_skipped(skipped: Collection[str]) -> str:
    if not skipped:
        return ""
    return (
        f"{_instances(len(skipped))}, none usable: {listed(skipped, _LONGEST_SENTENCE)}"
    )


def _of_none_selected(instances: Collection[Instance], rules: InstanceFilter) -> str:
    part = rules.selection
    carry = any(
        not evaluate(each, evolve(rules, selection=None)).is_unselected
        for each in instances
    )
    if part is not None and carry:
        wanted = [f"has {each}" for each in part.having]
        wanted += [f"is without {each}" for each in part.lacking]
        return f"{_instances(len(instances))}, none {' and '.join(wanted)}"
    tags = {tag for each in instances for tag in each.tags}
    have = f"tags: {listed(tags)}" if tags else "they have no tags"
    return f"{_instances(len(instances))}, none has tag {rules.tag}; {have}"


def _state(
    instance: Instance,
    verdict: Verdict,
    rules: InstanceFilter,
    drained: Set[Identity],
    failing: Set[Identity],
) -> str:
    """What keeps an instance from serving; ``serving`` if nothing does."""
    if instance.identity in drained:
        return MANUALLY_DRAINED.reason
    if instance.identity in failing:
        return "failing the own check"
    if verdict.standing is Standing.SERVING:
        return "serving"
    if instance.skipped:
        return "this gateway itself"
    if outside(instance, rules):
        return "outside upstream-allow"
    health = instance.health
    if rules.node_checks:
        health = health.worst(instance.node_health)
    if health.status in rules.health:
        return "of weight 0"
    return "in maintenance" if health.status == "maintenance" else health.status


def _instances(count: int) -> str:
    return f"{count} instance{'s' if count > 1 else ''}"
