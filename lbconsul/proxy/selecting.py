"""What a mapping selects, as the registry has it."""

from lbconsul.balance.selection import Question, Rules, Selection
from lbconsul.config.model import Mapping


def selection_of(mapping: Mapping) -> Selection:
    """The selection that a mapping's connections are balanced over."""
    question = Question(mapping.service, mapping.dc, mapping.filter, mapping.near)
    rules = Rules(mapping.tag, mapping.health, mapping.node_checks)
    return Selection(question, rules, mapping.policy)
