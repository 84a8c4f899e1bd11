"""What a worker knows, as its master tells it."""

import random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.instance import Identity
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.workers.catalog_replica import CatalogReplica, KnownSlots
from lbconsul.workers.messages import CatalogChunk
from lbconsul.workers.slots import Slots
from lbconsul.workers.versioned_catalog import VersionedCatalog
from tests.support.instances import an_identity, an_instance, instances, names_of

WEB, FILTERED = ServiceQuery("web"), ServiceQuery("web", filter="x")
A, B, C = instances("a", "b", "c")


class Knowing:
    """A replica with all that it fills."""

    def __init__(self) -> None:
        self.registry = Registry(random.Random(1).random)
        self.slots = KnownSlots()
        self.counted: list[tuple[Identity, int | None]] = []
        self.replica = CatalogReplica(self.registry, self.slots, self.note)

    def note(self, identity: Identity) -> None:
        """The tally learns where it is counted."""
        self.counted.append((identity, self.slots.find(identity)))

    def names(self, query: ServiceQuery = WEB) -> list[str]:
        return names_of(self.registry.pool(PoolSpec(query)).upstreams())


@pytest.fixture
def knowing() -> Knowing:
    """A replica that knows nothing."""
    return Knowing()


def test_nothing_said(knowing: Knowing) -> None:
    """Before the master has said anything nothing is known."""
    assert not knowing.registry.answered(WEB)
    assert knowing.slots.find(A.identity) is None


def test_an_empty_answer(knowing: Knowing) -> None:
    """An empty answer is an answer as well."""
    assert knowing.replica.take(CatalogChunk(WEB, whole=True, version=1))
    assert knowing.registry.answered(WEB)
    assert knowing.replica.version == 1


def test_only_with_the_last(knowing: Knowing) -> None:
    """A change in parts is made at once, with the last one."""
    knowing.replica.take(CatalogChunk(WEB, ((A, 0),), whole=True, version=1))
    first = CatalogChunk(WEB, ((B, 1),), (A.identity,), version=2, last=False)
    assert not knowing.replica.take(first)
    assert (knowing.names(), knowing.replica.version) == (["a"], 1)
    assert knowing.replica.take(evolve(first, put=((C, 2),), drop=(), last=True))
    assert (knowing.names(), knowing.replica.version) == (["b", "c"], 2)
    assert [knowing.slots.find(each.identity) for each in (A, B, C)] == [None, 1, 2]


def test_the_whole(knowing: Knowing) -> None:
    """A whole catalog replaces all that was known."""
    knowing.replica.take(CatalogChunk(WEB, ((A, 0), (B, 1)), whole=True))
    knowing.replica.take(CatalogChunk(WEB, ((B, 1),), whole=True, last=False))
    knowing.replica.take(CatalogChunk(WEB, ((C, 4),), whole=True))
    assert knowing.names() == ["b", "c"]
    assert knowing.slots.find(A.identity) is None
    assert knowing.slots.find(C.identity) == 4


def test_several_answers(knowing: Knowing) -> None:
    """An instance keeps its slot while it is in any answer."""
    for query in (WEB, FILTERED):
        knowing.replica.take(CatalogChunk(query, ((A, 3),), whole=True))
    knowing.replica.take(CatalogChunk(WEB, drop=(A.identity,)))
    assert (knowing.names(), knowing.names(FILTERED)) == ([], ["a"])
    assert knowing.slots.find(A.identity) == 3
    knowing.replica.take(
        CatalogChunk(FILTERED, drop=(A.identity, an_identity("unknown")))
    )
    assert knowing.slots.find(A.identity) is None


def test_another_slot(knowing: Knowing) -> None:
    """A new slot of an instance is applied, even if nothing else changed."""
    for slot in (None, 3):
        knowing.replica.take(CatalogChunk(WEB, ((A, slot),), whole=True))
    knowing.replica.take(CatalogChunk(WEB, ((A, 4),), last=False))
    assert len(knowing.counted) == 2
    knowing.replica.take(CatalogChunk(WEB, ((B, 5),)))
    expected = [(A, None), (A, 3), (A, 4), (B, 5)]
    assert knowing.counted == [(each.identity, slot) for each, slot in expected]


def test_a_slot_in_one_answer(knowing: Knowing) -> None:
    """A slot is found in whichever answer it is, though others do not know it."""
    for query, slot in ((WEB, None), (FILTERED, 7)):
        knowing.replica.take(CatalogChunk(query, ((A, slot),), whole=True))
    assert knowing.slots.find(A.identity) == 7


_answers = st.lists(
    st.tuples(
        st.sampled_from([WEB, FILTERED]),
        st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3)),
    )
)


@given(_answers)
def test_as_the_master(answers: list[tuple[ServiceQuery, dict[str, int]]]) -> None:
    """Whatever Consul says, a worker knows in the end what its master knows."""
    knowing, ledger = Knowing(), VersionedCatalog(Slots(4))
    master = Registry(random.Random(1).random)
    for query, weights in answers:
        listed = [an_instance(name, weight=each) for name, each in weights.items()]
        delta = ledger.change(query, master.replace(query, listed))
        for part in ledger.parts(delta, ledger.version) if delta else ():
            knowing.replica.take(part)
        assert knowing.replica.version == ledger.version
        for each in (WEB, FILTERED):
            assert knowing.registry.answered(each) == master.answered(each)
            known = [
                {
                    upstream.instance.identity: upstream.instance
                    for upstream in registry.pool(PoolSpec(each)).upstreams()
                }
                for registry in (master, knowing.registry)
            ]
            assert known[0] == known[1]
            for identity in known[0]:
                assert knowing.slots.find(identity) == ledger.slots.find(identity)


def test_query_gone(knowing: Knowing) -> None:
    """
    A query without an answer has no slots; mappings that stay keep the last answer.
    """
    knowing.replica.take(CatalogChunk(WEB, ((A, 3),), whole=True, version=1))
    assert knowing.replica.take(CatalogChunk(WEB, whole=True, version=2, gone=True))
    assert (knowing.names(), knowing.replica.version) == (["a"], 2)
    assert knowing.slots.find(A.identity) is None
    assert knowing.replica.take(
        CatalogChunk(FILTERED, whole=True, version=3, gone=True)
    )
    knowing.replica.take(CatalogChunk(WEB, ((A, 5),), whole=True, version=4))
    assert knowing.slots.find(A.identity) == 5


def test_pending(knowing: Knowing) -> None:
    """As long as the master looks names up, the worker knows that it does."""
    knowing.replica.take(CatalogChunk(WEB, whole=True, pending=True))
    assert not knowing.registry.answered(WEB)
    knowing.replica.take(CatalogChunk(WEB, ((A, 0),), pending=True))
    assert (knowing.names(), knowing.registry.answered(WEB)) == (["a"], False)
    knowing.replica.take(CatalogChunk(WEB))
    assert knowing.registry.answered(WEB)
