"""The catalog with versions, from which workers are sent changes."""

from lbconsul.balance.events import Change, Changed
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.workers.messages import CatalogChunk
from lbconsul.workers.slots import Slots
from lbconsul.workers.versioned_catalog import CUT, Delta, VersionedCatalog
from tests.support.instances import an_identity, an_instance, instances

WEB, FILTERED = ServiceQuery("web"), ServiceQuery("web", filter="x")
A, B, C = instances("a", "b", "c")


def _catalog(size: int = 10) -> VersionedCatalog:
    return VersionedCatalog(Slots(size))


def test_the_first_answer() -> None:
    """A first answer is sent whole, even if it is empty; an equal one is not sent."""
    ledger = _catalog()
    assert ledger.change(WEB, Change()) == Delta(WEB, (), whole=True)
    assert ledger.change(WEB, Change()) is None
    assert ledger.change(FILTERED, Change((A,))) == Delta(FILTERED, (A,), whole=True)
    assert (ledger.version, ledger.queries()) == (2, [WEB, FILTERED])


def test_later_answers() -> None:
    """Of later answers only changes are sent, and the whole can be sent at any time."""
    ledger = _catalog()
    ledger.change(WEB, Change((A, B)))
    heavy = an_instance("a", weight=5)
    told = ledger.change(WEB, Change((C,), (B,), (Changed(A, heavy),)))
    assert told == Delta(WEB, (C, heavy), (B.identity,))
    whole = ledger.whole(WEB)
    assert whole.whole
    assert sorted(whole.put, key=str) == [heavy, C]


def test_slots() -> None:
    """An instance has its slot while it is in any answer, and until all know more."""
    ledger = _catalog()
    ledger.change(WEB, Change((A, B)))
    ledger.change(FILTERED, Change((A,)))
    ledger.change(WEB, Change((), (A, B)))
    ledger.slots.reclaim(3, lambda slot: True)
    assert ledger.slots.find(A.identity) == 0
    assert ledger.slots.find(B.identity) is None
    ledger.change(FILTERED, Change((), (A,)))
    ledger.slots.reclaim(3, lambda slot: True)
    assert ledger.slots.find(A.identity) == 0
    ledger.slots.reclaim(4, lambda slot: True)
    assert ledger.slots.find(A.identity) is None


def test_parts() -> None:
    """
    A large change comes in parts: the first one removes instances, the last one marks
    the end.
    """
    ledger = _catalog(CUT)
    many = tuple(an_instance(str(number)) for number in range(2 * CUT + 1))
    ledger.change(WEB, Change(many))
    gone = (an_identity("gone"),)
    parts = list(ledger.parts(Delta(WEB, many, gone), 7))
    assert [len(part.put) for part in parts] == [CUT, CUT, 1]
    assert [part.drop for part in parts] == [gone, (), ()]
    assert [part.last for part in parts] == [False, False, True]
    assert {part.version for part in parts} == {7}
    put = [pair for part in parts for pair in part.put]
    assert put[:2] == [(many[0], 0), (many[1], 1)]
    assert put[-1] == (many[-1], None)  # there is no slot for it


def test_one_part() -> None:
    """A small change is one part, even if nothing is in it."""
    ledger = _catalog()
    whole = Delta(WEB, (), whole=True)
    assert list(ledger.parts(whole, 1)) == [CatalogChunk(WEB, whole=True, version=1)]


def test_forget() -> None:
    """Of a query without a mapping nothing is kept, nor are slots for it alone."""
    ledger = _catalog()
    assert ledger.forget(WEB) is None
    ledger.change(WEB, Change((A, B)))
    ledger.change(FILTERED, Change((A,)))
    assert ledger.forget(WEB) == Delta(WEB, (), whole=True, gone=True)
    assert (ledger.queries(), ledger.version) == ([FILTERED], 3)
    assert ledger.whole(WEB) == Delta(WEB, (), whole=True, gone=True)
    [part] = ledger.parts(ledger.whole(WEB), 3)
    assert part == CatalogChunk(WEB, whole=True, version=3, gone=True)
    ledger.slots.reclaim(3, lambda slot: True)
    assert ledger.slots.find(A.identity) == 0
    assert ledger.slots.find(B.identity) is None
    # A later mapping of the query starts over.
    assert ledger.change(WEB, Change((B,))) == Delta(WEB, (B,), whole=True)


def test_knows() -> None:
    """An instance of any answer is known."""
    ledger = _catalog()
    assert not ledger.knows(A.identity)
    ledger.change(WEB, Change((A,)))
    ledger.change(FILTERED, Change((A,)))
    ledger.change(WEB, Change(left=(A,)))
    assert ledger.knows(A.identity)
    ledger.forget(FILTERED)
    assert not ledger.knows(A.identity)


def test_pending() -> None:
    """Workers learn whether host names are pending, and when they are not."""
    ledger = _catalog()
    assert ledger.change(WEB, Change(), pending=True) == Delta(
        WEB, (), whole=True, pending=True
    )
    assert ledger.change(WEB, Change(), pending=True) is None
    told = ledger.change(WEB, Change((A,)), pending=True)
    assert told == Delta(WEB, (A,), pending=True)
    assert ledger.whole(WEB).pending
    assert [part.pending for part in ledger.parts(told, 1)] == [True]
    assert ledger.change(WEB, Change()) == Delta(WEB, ())
    assert not ledger.whole(WEB).pending
    ledger.change(FILTERED, Change(), pending=True)
    ledger.forget(FILTERED)
    assert ledger.change(FILTERED, Change()) == Delta(FILTERED, (), whole=True)
