"""When an instance counts as slow, as a frozen value, and its parser."""

import re

from attrs import frozen

from lbconsul.text import decimal

_RULE = re.compile(r"p(50|75|90|95|99)>([\d.]+)(ms|s)((?:;[a-z]+=[\d.]+)*)")

#: The bounds of the time, in seconds: times are counted from a millisecond to some
#: seconds.
_LEAST, _MOST = 0.001, 10.0


@frozen
class SlowRule:
    """An instance is slow if this share of its answers takes longer than its peers'."""

    #: Of a hundred answers so many are faster.
    percentile: int
    #: Seconds that the others take at least.
    longer: float
    #: How many times longer than its peers' they take at least.
    factor: float = 3.0
    #: The fewest answers that are judged by.
    samples: int = 50

    def __str__(self) -> str:
        factor = f";factor={decimal(self.factor)}" if self.factor != 3 else ""
        samples = f";samples={self.samples}" if self.samples != 50 else ""
        return f"p{self.percentile}>{decimal(self.longer)}s{factor}{samples}"


def slow_rule(text: str) -> SlowRule | None:
    """A rule from ``p99>2s;factor=3;samples=50``; None for ``off``.

    :raises ValueError: it is none; the text says what would be right.
    """
    if text == "off":
        return None
    match = _RULE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        longer = float(match[2]) / (1000 if match[3] == "ms" else 1)
        pairs = [each.split("=") for each in match[4].split(";")[1:]]
        more = dict(pairs)
        if len(more) < len(pairs) or not more.keys() <= {"factor", "samples"}:
            raise ValueError
        factor = float(more.get("factor", "3"))
        samples = int(more.get("samples", "50"))
    except ValueError:
        raise ValueError(
            "must be off, or p50, p75, p90, p95 or p99 with a time, such as p99>2s, or"
            " p99>2s;factor=3;samples=50"
        ) from None
    if not _LEAST <= longer <= _MOST:
        raise ValueError(
            f"must have a time from {decimal(_LEAST)}s to {decimal(_MOST)}s"
        )
    if not (1.5 <= factor <= 1000 and 10 <= samples <= 100_000):
        raise ValueError("must have a factor from 1.5 on, and 10 to 100000 samples")
    return SlowRule(int(match[1]), longer, factor, samples)
