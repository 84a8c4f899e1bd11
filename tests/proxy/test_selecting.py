"""What a mapping selects."""

from lbconsul.balance.selection import Patience, Question, Rules, Selection
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


def test_patience() -> None:
    """How much failing is borne is part of it; the longest time is the first one's."""
    text = "80:web,eject-after=5,eject-time=20m,eject-early=off"
    [mapping] = configure([], [text]).mappings
    assert selection_of(mapping).patience == Patience(5, 1200.0, 1200.0, False)
    [mapping] = configure([], ["80:web,eject-time=1s"]).mappings
    assert selection_of(mapping).patience == Patience(3, 1.0, 300.0, True)
