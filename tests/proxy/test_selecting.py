"""What a mapping selects."""

from lbconsul.balance.selection import Question, Rules, Selection
from lbconsul.config.build import configure
from lbconsul.config.model import Mapping
from lbconsul.proxy.selecting import selection_of


def test_all_that_is_said() -> None:
    """Each of a mapping's options that concern the catalog takes part."""
    text = "80:web,dc=a,filter=b,near=c,tag=d,health=passing,node-checks=off,policy=p2c"
    [mapping] = configure([], [text]).mappings
    assert selection_of(mapping) == Selection(
        Question("web", "a", "b", "c"), Rules("d", frozenset({"passing"}), False), "p2c"
    )


def test_nothing_said() -> None:
    """Without options it is what a selection is by default."""
    assert selection_of(Mapping("web")) == Selection(Question("web"))
