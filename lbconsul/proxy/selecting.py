"""What a mapping selects, as the registry has it."""

from attrs import evolve

from lbconsul.balance.selection import Patience, Question, Rules, Selection
from lbconsul.config.model import Mapping


def selection_of(mapping: Mapping) -> Selection:
    """The selection that a mapping's connections are balanced over."""
    question = Question(
        mapping.service,
        mapping.dc[0] if mapping.dc else "",
        mapping.filter,
        mapping.near,
    )
    rules = Rules(mapping.tag, mapping.health, mapping.node_checks)
    first = mapping.eject_time
    patience = Patience(mapping.eject_after, first, spoiled=mapping.eject_early)
    if patience.longest < first:
        patience = evolve(patience, longest=first)
    return Selection(question, rules, mapping.policy, patience)
