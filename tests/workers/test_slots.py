"""Which slot counts for which instance."""

from lbconsul.workers.slots import Slots
from tests.support.instances import an_identity

A, B, C = (an_identity(name) for name in "abc")


def test_each_its_own() -> None:
    """Each instance has a slot of its own, and keeps it."""
    slots = Slots(3)
    assert [slots.allocate(each) for each in (A, B, C, A)] == [0, 1, 2, 0]
    assert [slots.find(each) for each in (A, B, C)] == [0, 1, 2]


def test_all_taken() -> None:
    """Beyond so many there is none, and it is not made up later."""
    slots = Slots(1)
    assert slots.allocate(A) == 0
    assert slots.allocate(B) is None
    assert slots.find(B) is None
    slots.release_after(B, 1)
    slots.reclaim(1, lambda slot: True)
    assert slots.allocate(B) is None


def test_back_before_it_is_forgotten() -> None:
    """
    An instance that comes back has the slot where its connections are still counted.
    """
    slots = Slots(2)
    slots.allocate(A)
    slots.release_after(A, 1)
    assert slots.allocate(A) == 0
    slots.reclaim(9, lambda slot: True)
    assert slots.find(A) == 0


def test_given_to_another() -> None:
    """A slot goes to another instance once every process knows, and nothing is open."""
    slots = Slots(2)
    slots.allocate(A)
    slots.allocate(B)
    slots.release_after(A, 5)
    slots.reclaim(4, lambda slot: True)  # some worker does not know it yet
    assert slots.allocate(C) is None
    slots.reclaim(5, lambda slot: slot != 0)  # a connection lives on
    assert slots.allocate(C) is None
    slots.reclaim(5, lambda slot: True)
    assert slots.allocate(C) == 0
    assert slots.find(A) is None
    assert slots.find(B) == 1


def test_the_lowest_first() -> None:
    """The lowest free slot is taken, so that the used ones stay together."""
    slots = Slots(9)
    for each in (A, B, C):
        slots.allocate(each)
    for each in (C, A):
        slots.release_after(each, 1)
    slots.reclaim(1, lambda slot: True)
    assert slots.allocate(an_identity("d")) == 0
    assert slots.allocate(an_identity("e")) == 2
    assert slots.allocate(an_identity("f")) == 3
    assert slots.end == 4
