"""The catalog as workers get it."""

from lbconsul.balance.registry import Change
from lbconsul.balance.selection import Question
from lbconsul.workers.catalog import CUT, Catalog, Delta
from lbconsul.workers.messages import Part
from lbconsul.workers.slots import Slots
from tests.support.instances import an_identity, an_instance, instances

WEB, FILTERED = Question("web"), Question("web", filter="x")
A, B, C = instances("a", "b", "c")


def _catalog(size: int = 10) -> Catalog:
    return Catalog(Slots(size))


def test_the_first_answer() -> None:
    """A first answer is told as a whole, be it empty; the same again is not told."""
    catalog = _catalog()
    assert catalog.change(WEB, Change()) == Delta(WEB, (), whole=True)
    assert catalog.change(WEB, Change()) is None
    assert catalog.change(FILTERED, Change((A,))) == Delta(FILTERED, (A,), whole=True)
    assert (catalog.version, catalog.questions()) == (2, [WEB, FILTERED])


def test_later_answers() -> None:
    """Of later ones only what changed is told, and the whole can be told any time."""
    catalog = _catalog()
    catalog.change(WEB, Change((A, B)))
    heavy = an_instance("a", weight=5)
    told = catalog.change(WEB, Change((C,), (B,), (heavy,)))
    assert told == Delta(WEB, (C, heavy), (B.identity,))
    whole = catalog.whole(WEB)
    assert whole.whole
    assert sorted(whole.put, key=str) == [heavy, C]


def test_slots() -> None:
    """An instance has its slot while it is in any answer, and until all know more."""
    catalog = _catalog()
    catalog.change(WEB, Change((A, B)))
    catalog.change(FILTERED, Change((A,)))
    catalog.change(WEB, Change((), (A, B)))
    catalog.slots.reclaim(3, lambda slot: True)
    assert catalog.slots.find(A.identity) == 0
    assert catalog.slots.find(B.identity) is None
    catalog.change(FILTERED, Change((), (A,)))
    catalog.slots.reclaim(3, lambda slot: True)
    assert catalog.slots.find(A.identity) == 0
    catalog.slots.reclaim(4, lambda slot: True)
    assert catalog.slots.find(A.identity) is None


def test_parts() -> None:
    """A large change comes in parts: the first says who left, the last that it is."""
    catalog = _catalog(CUT)
    many = tuple(an_instance(str(number)) for number in range(2 * CUT + 1))
    catalog.change(WEB, Change(many))
    gone = (an_identity("gone"),)
    parts = list(catalog.parts(Delta(WEB, many, gone), 7))
    assert [len(part.put) for part in parts] == [CUT, CUT, 1]
    assert [part.drop for part in parts] == [gone, (), ()]
    assert [part.last for part in parts] == [False, False, True]
    assert {part.level for part in parts} == {7}
    put = [pair for part in parts for pair in part.put]
    assert put[:2] == [(many[0], 0), (many[1], 1)]
    assert put[-1] == (many[-1], None)  # there is no slot for it


def test_one_part() -> None:
    """A small change is one part, even if nothing is in it."""
    catalog = _catalog()
    whole = Delta(WEB, (), whole=True)
    assert list(catalog.parts(whole, 1)) == [Part(WEB, whole=True, level=1)]
