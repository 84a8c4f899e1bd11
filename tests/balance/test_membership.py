"""The members of a pool, and what one answer changes of them."""

from attrs import evolve

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.membership import Membership, MembershipChange
from lbconsul.balance.pool_spec import InstanceFilter
from lbconsul.balance.standing import MANUALLY_DRAINED
from lbconsul.balance.upstream import Load
from tests.support.instances import an_identity, an_instance, names_of


class Answers:
    """A pool's members, by what one answer after the other says of them."""

    def __init__(self, rules: InstanceFilter = InstanceFilter()) -> None:  # noqa: B008 (frozen)
        self.members = Membership(rules)
        self.loads: dict[str, Load] = {}

    def apply(self, *put: Instance, drop: str = "") -> MembershipChange:
        """These joined or were altered, those left."""
        return self.members.apply(
            [
                (each, self.loads.setdefault(each.identity.service_id, Load()))
                for each in put
            ],
            [an_identity(name) for name in drop],
        )


def _shifted(shift: MembershipChange) -> tuple[int, str, str, str]:
    """The number of serving upstreams before, and which gained, lost and moved."""
    return (
        shift.before,
        "".join(names_of(shift.gained)),
        "".join(names_of(shift.lost)),
        "".join(names_of(shift.moved)),
    )


def test_joined_altered_left() -> None:
    """
    An answer yields the upstreams that serve now, no longer, or at another address.
    """
    answers = Answers()
    first = answers.apply(*(an_instance(name) for name in "abcd"))
    assert _shifted(first) == (0, "abcd", "", "")
    shift = answers.apply(
        an_instance("a", weight=3),
        an_instance("b", status="critical"),
        an_instance("c", port=81),
        an_instance("e"),
        drop="d",
    )
    assert _shifted(shift) == (4, "e", "bd", "c")
    assert names_of(shift.touched) == ["a", "b", "c", "d", "e"]
    assert names_of(answers.members.candidates) == ["a", "c", "e"]


def test_who_left_is_there_until_it_is_removed() -> None:
    """
    An upstream that left is a member, with its last weight, as the guard may suspect
    it.
    """
    answers = Answers()
    answers.apply(an_instance("a", weight=7))
    [gone] = answers.apply(drop="a").lost
    assert (gone.verdict.is_gone, gone.verdict.weight) == (True, 7)
    assert answers.members.all == {an_identity("a"): gone}
    answers.members.remove(gone)
    assert answers.members.all == {}
    assert answers.loads["a"].upstreams == []


def test_not_selected() -> None:
    """
    An instance without the tag is no member; one that loses it has left; others are
    unknown.
    """
    answers = Answers(InstanceFilter(tag="v2"))
    assert _shifted(answers.apply(an_instance("a"), drop="z")) == (0, "", "", "")
    answers.apply(an_instance("a", tags=["v2"]))
    assert _shifted(answers.apply(an_instance("a"))) == (1, "", "a", "")


def test_clear() -> None:
    """No member is left, and no load refers to the pool."""
    answers = Answers()
    answers.apply(*(an_instance(name) for name in "ab"))
    answers.members.clear()
    assert (answers.members.all, answers.members.candidates) == ({}, set())
    assert [load.upstreams for load in answers.loads.values()] == [[], []]


def test_at_rest() -> None:
    """A manually drained instance is a member that does not serve, with its weight."""
    answers, drained = Answers(), dict[Identity, int]()
    answers.members = Membership(InstanceFilter(), drained)
    answers.apply(an_instance("a", weight=7))
    drained[an_identity("a")] = 0
    shift = answers.apply(an_instance("a", weight=7))
    assert _shifted(shift) == (1, "", "a", "")
    [member] = answers.members.all.values()
    assert member.verdict == evolve(MANUALLY_DRAINED, weight=7)
    drained.clear()
    assert _shifted(answers.apply(an_instance("a", weight=7))) == (0, "a", "", "")


def test_other_addresses_of_a_name() -> None:
    """One is elsewhere only where it is used at an address that is none of its own."""
    answers = Answers()

    def at(*addresses: str) -> Instance:
        first, *others = addresses
        return evolve(an_instance("a"), address=first, alternates=tuple(others))

    answers.apply(at("1", "2", "3"))
    [known] = answers.members.all.values()
    known.failed_at("1")
    assert names_of(answers.apply(at("1", "2", "3")).moved) == []
    assert list(known.instance.addresses) == ["2", "3", "1"]  # where it was left
    assert names_of(answers.apply(at("4", "2")).moved) == []
    assert list(known.instance.addresses) == ["2", "4"]
    assert names_of(answers.apply(at("2")).moved) == []
    assert names_of(answers.apply(at("5", "6")).moved) == ["a"]
    assert list(known.instance.addresses) == ["5", "6"]
