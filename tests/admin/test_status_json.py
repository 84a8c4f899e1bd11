"""All there is to be shown, as one document."""

import json
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
from attrs import evolve, frozen

from lbconsul.admin.status_json import dumps, plain, status
from lbconsul.admin.status_model import PoolStatus
from tests.admin.test_status_model import SCHEMA
from tests.support.fake_source import STATES, FakeSource, fake_source, upstream

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def _clock() -> float:
    return 1_760_000_000.0


def _document(source: FakeSource) -> Any:
    return json.loads(b"".join(status(source)))


def test_the_schema_is_one() -> None:
    """What documents it is a schema itself."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("state", STATES)
def test_it_is_as_documented(state: str) -> None:
    """Whatever there is to be shown, it is what the schema says."""
    VALIDATOR.validate(_document(fake_source(_clock, 100, state)))


def test_requests() -> None:
    """A mapping in HTTP mode has its requests, as the schema says; others have null."""
    source = fake_source(_clock, 100)
    source.speak_http()
    said = _document(source)
    VALIDATOR.validate(said)
    first, second, *_ = said["mappings"]
    assert first["http"]["requests"]["2xx"] == 1000
    assert [each["path"] for each in first["unhappy"]] == ["/basket", "/cart"]
    assert first["pools"][0]["upstreams"][0]["http"]["first_byte_p50"] == 0.002
    assert (second["http"], second["request_time"], second["unhappy"]) == (
        None, None, [],
    )  # fmt: skip


def test_what_it_says() -> None:
    """Mappings hold their pools, and pools their upstreams."""
    source = fake_source(_clock, 100)
    said = _document(source)
    assert said["gateway"]["now"] == _clock()
    assert [each["query"] for each in said["watches"]] == [
        each.query for each in source.watch_list
    ]
    assert [each["name"] for each in said["mappings"]] == [
        each.name for each in source.mapping_list
    ]
    found = {
        (mapping["name"], number): [each["id"] for each in pool["upstreams"]]
        for mapping in said["mappings"]
        for number, pool in enumerate(mapping["pools"])
    }
    assert found == {key: list(members) for key, members in source.pools.items()}
    assert sum(map(len, found.values())) == 100


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 65])
def test_the_commas(count: int) -> None:
    """Pieces make up a document, wherever they begin."""
    source = fake_source(_clock, 0, "empty")
    mapping, *_ = source.mapping_list
    pools = (PoolStatus("web", True), PoolStatus("web,dc=b", False))
    source.mapping_list = [evolve(mapping, pools=pools), evolve(mapping, name="81:b")]
    source.add(mapping.name, 1, *map(upstream, range(count)))
    first, second = _document(source)["mappings"]
    assert [len(each["upstreams"]) for each in first["pools"]] == [0, count]
    assert [len(each["upstreams"]) for each in second["pools"]] == [0]


def test_changes_meanwhile() -> None:
    """Upstreams may come and go while it is written."""
    source = fake_source(_clock, 1000)
    pieces, text = status(source), b""
    for piece in pieces:
        text += piece
        source.pools.clear()
    VALIDATOR.validate(json.loads(text))


def test_no_piece_is_long() -> None:
    """A document of any length takes little memory at a time."""
    assert max(map(len, status(fake_source(_clock, 2000)))) < 1 << 15


@frozen
class Point:
    x: int
    tags: tuple[str, ...] = ()


def test_a_value() -> None:
    """A value is an object with its fields, and so are values in it."""
    assert plain(Point(1, ("a",))) == {"x": 1, "tags": ("a",)}
    told = {"point": Point(2), "set": frozenset({"b", "a"})}
    assert json.loads(dumps(told)) == {
        "point": {"x": 2, "tags": []},
        "set": ["a", "b"],
    }
    assert dumps(MappingProxyType({"a": 1})) == '{"a":1}'


def test_ascii_on_one_line() -> None:
    """The JSON is ASCII on one line, whatever the names in it."""
    assert dumps({"ü\n": "\udce9"}) == r'{"\u00fc\n":"\udce9"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_json(value: float) -> None:
    """NaN and infinity are not written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(value)


def test_nothing_to_be_shown() -> None:
    """Innards are not shown by mistake."""
    unknown: Any = object()
    with pytest.raises(TypeError, match="object"):
        dumps(unknown)
