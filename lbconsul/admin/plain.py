"""JSON encoding of status values."""

import json
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, cast

from attrs import fields, has


def plain(value: Any) -> dict[str, Any]:
    """The fields of an attrs value by name; nested values are not converted."""
    names, get = _shape(cast(Hashable, type(value)))
    return dict(zip(names, get(value), strict=True))


@cache
def _shape(of: Hashable) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(each.name for each in fields(cast(type, of)))
    return names, attrgetter(*names)


def _default(value: Any) -> Any:
    if has(type(value)):
        return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is nothing to be shown")


#: The JSON text of a status value, on one line and in ASCII.
dumps = json.JSONEncoder(
    default=_default, separators=(",", ":"), allow_nan=False
).encode
