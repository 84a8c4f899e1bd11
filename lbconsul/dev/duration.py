"""Durations as Go writes them: "60s", "1m30s", "0.5s", "100ms"."""

import re

#: Seconds in each unit.  Go has no unit for a day.
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def duration(text: str) -> float:
    """Seconds; ValueError if the text is no duration, which always has a unit."""
    sign = -1.0 if text.startswith("-") else 1.0
    terms = text[1:] if text[:1] in ("-", "+") else text
    if terms == "0":
        return 0.0
    if not terms or _TERM.sub("", terms):
        raise ValueError(f'invalid duration "{text}"')
    return sign * sum(float(many) * _UNITS[unit] for many, unit in _TERM.findall(terms))
