"""Values as JSON."""

import json
from types import MappingProxyType
from typing import Any

import pytest
from attrs import frozen

from lbconsul.admin.plain import dumps, plain


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
    """It can be sent as it is, whatever the names in it."""
    assert dumps({"ü\n": "\udce9"}) == r'{"\u00fc\n":"\udce9"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_json(value: float) -> None:
    """What no parser would take is not written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(value)


def test_nothing_to_be_shown() -> None:
    """Innards are not shown by mistake."""
    unknown: Any = object()
    with pytest.raises(TypeError, match="object is nothing to be shown"):
        dumps(unknown)
