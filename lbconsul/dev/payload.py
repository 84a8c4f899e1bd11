"""Parses JSON bodies as strictly as Consul's Go does.

Names match regardless of case.  An unknown name or a value of another type is an error;
null counts as absent.  A shape lists the names and the types of their values.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from lbconsul.dev.http import HTTPError

#: Reads one value; takes the field's name and the value.
Kind = Callable[[str, Any], Any]
Shape = Mapping[str, Kind]

_GO_NAMES = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}

#: Seconds in each unit.  Go has no unit for a day.
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def read(body: bytes, shape: Shape) -> dict[str, Any]:
    """The fields of a JSON object, by the names in the shape."""
    try:
        value = _parse(body.decode(errors="replace"))
        return {} if value is None else structure(shape)("", value)
    except Undecodable as error:
        raise HTTPError(400, f"Request decode failed: {error}") from error


class Undecodable(Exception):
    """The body is not JSON, or has content that Consul does not accept."""


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _mismatch(name, value, "string")
    return value


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _mismatch(name, value, "bool")
    return value


def number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(name, value, "int")
    return value


def seconds(name: str, value: object) -> float:
    """A duration, as "10s", or as a number of nanoseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1e9
    try:
        return duration(text(name, value))
    except ValueError as error:
        raise Undecodable(f"time: {error}") from error


def unsupported(name: str, value: object) -> object:
    """A field that Consul supports and this catalog does not: an error if it is set."""
    known = "checks with a TTL, and neither Connect nor namespaces"
    said = f"the --dev catalog does not do {name}: it has {known}"
    raise HTTPError(400, f"{said}; a real Consul has the rest")


def ignored(name: str, value: object) -> object:
    """A field that is accepted and has no visible effect."""
    return value


def several(kind: Kind, go_type: str = "[]string") -> Kind:
    def read_each(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _mismatch(name, value, go_type)
        return [kind(name, item) for item in value if item is not None]

    return read_each


def pairs(kind: Kind, go_type: str = "map[string]string") -> Kind:
    def read_each(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(name, value, go_type)
        return {k: kind(name, v) for k, v in value.items() if v is not None}

    return read_each


def structure(shape: Shape, go_type: str = "struct") -> Kind:
    names = {name.lower(): name for name in shape}

    def read_fields(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(name, value, go_type)
        found = {}
        for said, held in value.items():
            known = names.get(said.lower())
            if known is None:
                raise Undecodable(f'json: unknown field "{said}"')
            if held is not None:
                found[known] = shape[known](known, held)
        return found

    return read_fields


def _mismatch(name: str, value: object, wanted: str) -> Undecodable:
    got = _GO_NAMES[type(value)]
    if isinstance(value, float):
        got = f"number {value}"
    where = f"struct field .{name}" if name else "value"
    return Undecodable(f"json: cannot unmarshal {got} into Go {where} of type {wanted}")


def _parse(body: str) -> object:
    """The first JSON value of the body; like Consul's Go, it ignores the rest."""
    try:
        return json.JSONDecoder().raw_decode(body.lstrip())[0]
    except json.JSONDecodeError as error:
        raise Undecodable(_complaint(body.lstrip(), error)) from error


def _complaint(body: str, error: json.JSONDecodeError) -> str:
    if not body:
        return "EOF"
    unfinished = error.pos >= len(body) or error.msg.startswith("Unterminated")
    if unfinished:
        return "unexpected EOF"
    return f"invalid character {body[error.pos]!r}: {error.msg}"


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it: "60s", "1m30s", "0.5s", "100ms".

    :raises ValueError: the text is no duration, which always has a unit.
    """
    sign = -1.0 if text.startswith("-") else 1.0
    terms = text[1:] if text[:1] in ("-", "+") else text
    if terms == "0":
        return 0.0
    if not terms or _TERM.sub("", terms):
        raise ValueError(f'invalid duration "{text}"')
    return sign * sum(float(many) * _UNITS[unit] for many, unit in _TERM.findall(terms))
