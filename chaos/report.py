"""What became of one row.  Pure."""

import json
from collections.abc import Iterable
from typing import Any

from attrs import Factory, asdict, define, frozen


@frozen
class Figure:
    """A number, and what it must be, if it must be something."""

    name: str
    #: The number, with its unit.
    text: str
    #: What is required, as in ``<= 2 s``.
    bound: str = ""
    #: Whether it is what is required; of a mere figure None.
    met: bool | None = None

    def __str__(self) -> str:
        missed = f" (required {self.bound})" if self.met is False else ""
        return f"{self.name} {self.text}{missed}"


@define
class Report:
    """Filled while a row is played."""

    name: str
    #: What was done, in words.
    done: str
    #: Seconds.
    lasted: float = 0.0
    #: Requests, and connections, of all loads.
    requests: int = 0
    failed: int = 0
    wrong: int = 0
    figures: list[Figure] = Factory(list)
    #: Why the row was not played to its end, if so.
    trouble: str = ""
    #: What is missing on this machine, so that the row was not played.
    lacking: str = ""

    def count(self, requests: int, failed: int = 0, wrong: int = 0) -> None:
        """So many requests more, whatever is required of them."""
        self.requests += requests
        self.failed += failed
        self.wrong += wrong

    def note(self, name: str, value: float, unit: str = "") -> None:
        """A figure of which nothing is required."""
        self.figures.append(Figure(name, said(value, unit)))

    def at_most(self, name: str, value: float, bound: float, unit: str = "") -> None:
        """A figure that must not be greater."""
        limit = f"<= {said(bound, unit)}"
        self.figures.append(Figure(name, said(value, unit), limit, value <= bound))

    def at_least(self, name: str, value: float, bound: float, unit: str = "") -> None:
        """A figure that must not be less."""
        limit = f">= {said(bound, unit)}"
        self.figures.append(Figure(name, said(value, unit), limit, value >= bound))

    def require(self, name: str, met: bool, otherwise: str = "no") -> None:
        """Something that must be so, which is no number."""
        self.figures.append(Figure(name, "yes" if met else otherwise, "yes", met))

    @property
    def missed(self) -> list[Figure]:
        """The figures that are not what is required."""
        return [each for each in self.figures if each.met is False]

    @property
    def met(self) -> bool:
        """Whether it was played to its end, and all is as required."""
        return not (self.trouble or self.lacking or self.missed)

    @property
    def verdict(self) -> str:
        """The last word on it."""
        if self.lacking:
            return f"NOT RUN ({self.lacking})"
        if self.met:
            return "met"
        why = [*map(str, self.missed), *filter(None, [self.trouble])]
        return f"NOT MET ({'; '.join(why)})"

    def line(self) -> str:
        """All of it in one line."""
        parts = [f"{self.name}: {self.done}"]
        if not self.lacking:
            parts += [f"{self.lasted:.0f} s", self.counted(), self.listed()]
        return " | ".join([*filter(None, parts), self.verdict])

    def counted(self) -> str:
        """The requests."""
        wrong = f", {self.wrong} wrong" if self.wrong else ""
        return f"{self.requests:,} requests, {self.failed:,} failed{wrong}"

    def listed(self) -> str:
        """The figures that are fine, or of which nothing is required."""
        return ", ".join(str(each) for each in self.figures if each.met is not False)

    def to_json(self) -> str:
        """For the process that started this one."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """What `to_json` wrote."""
        whole: dict[str, Any] = json.loads(text)
        figures = [Figure(**each) for each in whole.pop("figures")]
        return cls(**whole, figures=figures)


def said(value: float, unit: str = "") -> str:
    """A number of three digits or so, and its unit."""
    if float(value).is_integer():
        number = f"{value:,.0f}"
    elif abs(value) < 10:
        number = f"{value:.2f}"
    elif abs(value) < 100:
        number = f"{value:.1f}"
    else:
        number = f"{value:,.0f}"
    return f"{number} {unit}".strip()


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of them are; 0 if there is none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
