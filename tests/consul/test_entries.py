"""The objects of a JSON list one by one, within bounds."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbconsul.consul import entries as module
from lbconsul.consul.entries import ENTRY_LIMIT, MOST_ENTRIES, entries, inner_members
from lbconsul.errors import UnusableAnswer

VALUES: Any = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text())
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)


@settings(max_examples=50)
@given(st.lists(OBJECTS, max_size=5), st.booleans(), st.integers(1, 99))
def test_it_is_what_json_is(what: list[object], ascii_only: bool, limit: int) -> None:
    """
    However long its parts are, and wherever a window ends, an answer means what it
    means as a whole.
    """
    body = json.dumps(what, ensure_ascii=ascii_only, indent=limit % 3 or None).encode()
    longest = max([len(json.dumps(each, indent=2).encode()) for each in what] or [0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW", limit)
        patch.setattr(module, "ENTRY_LIMIT", 3 * longest)
        assert list(entries(body)) == what


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON: Expecting value"),
        (b"  \n", "not JSON: Expecting value"),
        (b"<html>", "not JSON: Expecting value"),
        (b"\xff[]", "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"null", "JSON, but NoneType instead of a list"),
        (b'{"a": []}', "JSON, but dict instead of a list"),
        (b"[", "not JSON: Expecting value"),
        (b"[[]", "an entry is not an object"),
        (b"[null]", "an entry is not an object"),
        (b"[{}", "not JSON: no end"),
        (b"[{} {}]", "not JSON: no end"),
        (b"[{},", "not JSON: Expecting value"),
        (b"[{},]", "not JSON: Expecting value"),
        (b'[{"a": 1]', "not JSON: Expecting ',' delimiter"),
        (b"[]x", "not JSON: Extra data"),
        (b"[" + b'{"a":' * 100_000 + b"1}", "not JSON: maximum recursion depth"),
        (b'[{"a": %b}]' % (b"9" * 5000), "not JSON: Exceeds the limit (4300 digits)"),
        (b'["' + b"x" * 3 * ENTRY_LIMIT, "an entry is not JSON of at most 262144"),
        (
            b'[{"a": "' + b"x" * 3 * ENTRY_LIMIT,
            "an entry is not JSON of at most 262144",
        ),
        (b"[" + b"{}," * MOST_ENTRIES + b"{}]", "50001 entries or more"),
    ],
    ids=range(20),
)
def test_what_is_none(body: bytes, why: str) -> None:
    """
    The error about an answer that is no list of objects, or too long, is a short line.
    """
    with pytest.raises(UnusableAnswer) as told:
        list(entries(body))
    assert str(told.value).startswith(why)
    assert len(str(told.value)) < 120


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * (4 << 20),
        b"[" + b"{}," * (4 << 20),
        b'[{"a":[' + b"[]," * (4 << 20),
        b"[" + b" " * (16 << 20),
        b'[{"a":"' + "\N{SNOWMAN}".encode() * (4 << 20),
    ],
    ids=["lists", "objects", "within one", "blanks", "text"],
)
def test_it_does_not_unpack_to_more(body: bytes) -> None:
    """
    An answer that would unpack to a hundred times as much takes little memory.
    """
    tracemalloc.start()
    try:
        with pytest.raises(UnusableAnswer):
            for _ in entries(body):
                pass
        assert tracemalloc.get_traced_memory()[1] < 64 * ENTRY_LIMIT
    finally:
        tracemalloc.stop()


def test_an_object_in_an_object() -> None:
    """The members of one member are read one at a time, and the others are skipped."""

    def read(body: bytes) -> list[tuple[str, object]]:
        return list(inner_members(body, "b"))

    assert read(b' {"a": {"x": 1}, "b": {"y": {}, "z": 2}, "c": null} ') == [
        ("y", {}),
        ("z", 2),
    ]
    assert read(b'{"b": {}}') == read(b"null") == []
    for body, why in [
        (b'{"a": {}}', "an object without b"),
        (b"{}", "an object without b"),
        (b"nonsense", "not JSON: Expecting value"),
        (b"[]", "JSON, but list instead of an object"),
        (b'{"b": []}', "JSON, but list instead of an object"),
        (b'{"b": {}', "not JSON: no end"),
        (b'{"b": {"y": 1', "not JSON: no end"),
        (b'{"b": {}}x', "not JSON: Extra data"),
        (b'{"b" 1}', "not JSON: a member without a name"),
    ]:
        with pytest.raises(UnusableAnswer, match=why):
            read(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": }', "not JSON: Expecting value"),
        (b"{1: 2}", "not JSON: a member without a name"),
    ],
)
def test_members_that_are_not_valid(body: bytes, why: str) -> None:
    """What is no object makes an answer unusable, and the error says why."""
    with pytest.raises(UnusableAnswer) as refused:
        list(module.members(body))
    assert str(refused.value) == why


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does an object with too many members."""
    monkeypatch.setattr(module, "MOST_ENTRIES", 1)
    with pytest.raises(UnusableAnswer):
        list(module.members(b'{"a": 1, "b": 2}'))
