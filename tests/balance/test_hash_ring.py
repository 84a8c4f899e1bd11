"""The ring of consistent hashing."""

from random import Random

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.hash_ring import HashRing

NUMBERS = st.integers(0, (1 << 64) - 1)
NAMES = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=60)


@define(eq=False)
class _Owner:
    name: bytes
    is_placed: bool = True


def _ring(names: list[bytes], points: int = 8) -> HashRing[_Owner]:
    ring = HashRing[_Owner]()
    for name in names:
        ring.set_points(ring.join(_Owner(name)), name, 0, points)
    return ring


@given(NAMES, st.randoms(use_true_random=False), NUMBERS)
def test_the_order_in_which_owners_join_does_not_matter(
    names: list[bytes], chance: Random, number: int
) -> None:
    """Gateways that have seen another history say the same."""
    names = list(dict.fromkeys(names))
    other = names.copy()
    chance.shuffle(other)
    found = _ring(names).find(number)
    assert found.name == _ring(other).find(number).name


@given(NAMES, st.data(), st.lists(NUMBERS, min_size=1))
def test_who_leaves_moves_only_its_own_numbers(
    names: list[bytes], data: st.DataObject, numbers: list[int]
) -> None:
    """What belongs to others stays with them, and all is as before when it is back."""
    names = [*dict.fromkeys(names), b"other"]
    ring = HashRing[_Owner]()
    owners = {}
    for name in dict.fromkeys(names):
        owner = _Owner(name)
        owners[name] = owner, ring.join(owner)
        ring.set_points(owners[name][1], name, 0, 8)
    before = [ring.find(number).name for number in numbers]
    owner, its_number = owners[data.draw(st.sampled_from(names[:-1] or names))]
    if len(owners) == 1:
        return
    owner.is_placed = False  # it keeps its points
    hidden = [ring.find(number).name for number in numbers]
    ring.set_points(its_number, owner.name, 8, 0)
    ring.leave(its_number)
    gone = [ring.find(number).name for number in numbers]
    assert hidden == gone
    for was, now in zip(before, gone, strict=True):
        assert now == was or was == owner.name != now
    owner.is_placed = True
    assert ring.join(owner) == its_number
    ring.set_points(its_number, owner.name, 0, 8)
    assert [ring.find(number).name for number in numbers] == before


@given(st.lists(NUMBERS, min_size=1))
def test_more_points_take_only_for_their_owner(numbers: list[int]) -> None:
    """An owner that gets heavier takes numbers, and loses none."""
    ring = _ring([b"a", b"b"])
    heavy = _Owner(b"c")
    its_number = ring.join(heavy)
    ring.set_points(its_number, b"c", 0, 2)
    before = [ring.find(number).name for number in numbers]
    ring.set_points(its_number, b"c", 2, 30)
    after = [ring.find(number).name for number in numbers]
    assert all(now in (was, b"c") for was, now in zip(before, after, strict=True))
    ring.set_points(its_number, b"c", 30, 2)
    assert [ring.find(number).name for number in numbers] == before
