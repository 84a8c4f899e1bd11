"""One answer after the other, of which most is what it was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.consul.catalog import parse
from lbconsul.consul.entries import ENTRY_LIMIT, MOST_ENTRIES
from lbconsul.consul.incremental import IncrementalParser
from lbconsul.errors import UnusableAnswer
from tests.support.instances import an_entry


def consuls(*entries: object) -> bytes:
    """An answer as Consul writes it, to the byte."""
    return json.dumps(entries, separators=(",", ":")).encode() + b"\n"


def fleet(size: int, **of: Any) -> list[dict[str, Any]]:
    """The entries of so many instances."""
    checks = [{"Node": "node-1", "CheckID": "http", "Status": "passing"}]
    return [an_entry(f"web-{n}", checks=checks * 2, **of) for n in range(size)]


def test_first_answer() -> None:
    """The first one is read whole."""
    body = consuls(*fleet(5))
    assert IncrementalParser().read(body) == parse(body)


def test_what_is_the_same_is_the_same() -> None:
    """Of a second answer only what has changed is read, and the rest kept."""
    reader, entries = IncrementalParser(), fleet(5)
    before = reader.read(consuls(*entries)).instances
    entries[2]["Service"]["Port"] = 81
    after = reader.read(consuls(*entries)).instances
    assert after[2].port == 81
    assert [one is other for one, other in zip(before, after, strict=True)] == [
        True, True, False, True, True,
    ]  # fmt: skip


def test_order_and_number() -> None:
    """Instances that come, go and change places are no different ones."""
    reader, entries = IncrementalParser(), fleet(6)
    before = reader.read(consuls(*entries[:4])).instances
    after = reader.read(consuls(*reversed(entries[1:]))).instances
    assert [each.identity.service_id for each in after] == [
        "web-5", "web-4", "web-3", "web-2", "web-1",
    ]  # fmt: skip
    assert after[2] is before[3]


def test_left_out() -> None:
    """
    Registrations that are no backends are skipped in each answer, with the reason.
    """
    reader = IncrementalParser()
    body = consuls(*fleet(2), an_entry("proxy", Kind="connect-proxy"), *fleet(1))
    for _ in range(2):
        read = reader.read(body)
        assert len(read.instances) == 2
        assert len(read.skipped) == 1
        assert "connect-proxy" in read.skipped[0].reason


def test_nobody() -> None:
    """No instance, or one, is an answer like any other."""
    reader = IncrementalParser()
    reader.read(consuls(*fleet(3)))
    for size in (0, 1, 0, 2):
        body = consuls(*fleet(size))
        assert reader.read(body) == parse(body)


def test_written_by_others() -> None:
    """An answer that is written in another way means the same."""
    for size in (3, 3000):
        entries = fleet(size)
        assert IncrementalParser().read(json.dumps(entries).encode()) == parse(
            consuls(*entries)
        )


@pytest.mark.parametrize("blanks", [{"indent": 4}, {"indent": "\t"}])
def test_written_for_people(blanks: dict[str, Any]) -> None:
    """An agent in ``-dev`` mode writes blanks: that changes nothing."""
    entries, reader = fleet(3), IncrementalParser()
    body = json.dumps(entries, **blanks).encode()
    before = reader.read(body)
    assert before == parse(consuls(*entries))
    entries[1]["Service"]["Port"] = 81
    after = reader.read(json.dumps(entries, **blanks).encode())
    same = zip(before.instances, after.instances, strict=True)
    assert [one is other for one, other in same] == [True, False, True]


def test_cut_at_the_wrong_place() -> None:
    """Whatever stands in an entry, it is not taken for the end of one."""
    trap = {"Meta": {"x": '},{"Node":{'}, "Other": [{}, {"Node": {"Node": "x"}}]}
    body = consuls(*fleet(2, **trap), *fleet(1))
    assert IncrementalParser().read(body) == parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"null",
        b'[{"Node":{}}',
        b'[{"Node":{}},{"Node":{}}]',
        consuls(*fleet(3))[:-30],
        consuls(*fleet(3)) + b"x",
        consuls(*fleet(2), {"Node": {"Node": "n"}, "Service": 7}),
        b"[" + b'{"Node":{"Node":' * 100_000 + b"}]",
        b'[{"Node":{},{"Node":{}]',
    ],
)
def test_unusable(body: bytes) -> None:
    """An answer that is not whole and valid is none, and the next one is read well."""
    reader, good = IncrementalParser(), consuls(*fleet(3))
    known = reader.read(good)
    with pytest.raises(UnusableAnswer):
        reader.read(body)
    assert reader.read(good) == known


def test_beyond_bounds() -> None:
    """Entries beyond the limits are refused."""
    many = consuls(*fleet(1))[:-2] + b',{"Node":{}}' * MOST_ENTRIES + b"]"
    with pytest.raises(UnusableAnswer, match="50001 entries or more"):
        IncrementalParser().read(many)
    long = consuls(*fleet(2, Meta={"x": "x" * ENTRY_LIMIT}))
    with pytest.raises(UnusableAnswer, match="an entry is not JSON of at most"):
        IncrementalParser().read(long)


@given(
    st.lists(
        st.lists(
            st.builds(
                an_entry,
                st.sampled_from(["a", "b", "c", "d"]),
                Port=st.integers(80, 82),
                Tags=st.lists(st.text(), max_size=2),
            ),
            max_size=5,
        ),
        max_size=5,
    )
)
def test_like_each_by_itself(answers: list[list[object]]) -> None:
    """Whatever came before, an answer means what it means by itself."""
    reader = IncrementalParser()
    for entries in answers:
        body = consuls(*entries)
        read, alone = reader.read(body), parse(body)
        assert list(dict.fromkeys(alone.instances)) == list(read.instances) or (
            read == alone
        )
