"""What was measured: every value, medians, what went wrong, and on what machine."""

import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, define

from bench.work import Measure

#: A measure, its peer, and its place on a curve (0 without a curve).
Key = tuple[Measure, str, int]

#: How much of an error is kept, in characters: its beginning and its end.
_WORDS = 300


@define
class Results:
    """All values of one run."""

    about: dict[str, Any]
    figures: dict[Key, list[float]] = Factory(dict)
    #: Sentences.
    troubles: list[str] = Factory(list)

    def add(self, measure: Measure, peer: str, value: float, at: int = 0) -> None:
        """Keep one more value."""
        self.figures.setdefault((measure, peer, at), []).append(value)

    def median(self, measure: Measure, peer: str, at: int = 0) -> float | None:
        """The median of all rounds, if there was one."""
        values = self.figures.get((measure, peer, at))
        return statistics.median(values) if values else None

    @property
    def builds(self) -> dict[str, str]:
        """How the Pythons were built, also those of an earlier run's numbers."""
        rest = self.about.get("the rest", {})
        return {**rest.get("builds", {}), **self.about.get("builds", {})}

    def rounds(self, measure: Measure) -> int:
        """How often it was measured; where that differs, the most."""
        return max((len(v) for (m, *_), v in self.figures.items() if m == measure))

    def spread(
        self, measure: Measure, peer: str, at: int = 0
    ) -> tuple[float, float] | None:
        """The lowest and the highest of several rounds."""
        values = self.figures.get((measure, peer, at), [])
        return (min(values), max(values)) if len(values) > 1 else None

    def ratios(self, key: Key, base: Key) -> list[float]:
        """The ratio of two in each round; empty if one lacks a round."""
        values, others = (self.figures.get(each, []) for each in (key, base))
        if len(values) != len(others):
            return []
        return [value / base for value, base in zip(values, others, strict=True)]

    def peers(self, measure: Measure) -> list[str]:
        """The peers of a measure."""
        return list(dict.fromkeys(peer for m, peer, _ in self.figures if m == measure))

    def places(self, measure: Measure) -> list[int]:
        """The places on a measure's curve."""
        return sorted({at for m, _, at in self.figures if m == measure})

    def trouble(self, sentence: str) -> None:
        """Print a failure at once, and keep it."""
        self.troubles.append(sentence)
        print(f"bench: {sentence}", file=sys.stderr)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """One peer's failure is reported; the other peers are still measured."""
        try:
            yield
        except Exception as error:
            words = " ".join(str(error).split())
            if len(words) > _WORDS:
                words = f"{words[: _WORDS // 2]} ... {words[-_WORDS // 2 :]}"
            self.trouble(f"{what}: {type(error).__name__}: {words}")

    def to_json(self) -> str:
        """Everything, for programs to read."""
        figures = [
            {
                "measure": measure.title,
                "unit": measure.unit,
                "peer": peer,
                "at": at,
                "median": _short(statistics.median(values)),
                "values": [_short(value) for value in values],
            }
            for (measure, peer, at), values in self.figures.items()
        ]
        whole = {"about": self.about, "troubles": self.troubles, "figures": figures}
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """What `to_json` wrote."""
        whole = json.loads(text)
        results = cls(whole["about"], troubles=whole["troubles"])
        for figure in whole["figures"]:
            measure = Measure(figure["measure"], figure["unit"])
            results.figures[measure, figure["peer"], figure["at"]] = figure["values"]
        return results

    def beside(self, earlier: "Results") -> "Results":
        """These, and of an earlier run what was not measured again."""
        measured = {measure for measure, _, _ in self.figures}
        kept = {
            key: of for key, of in earlier.figures.items() if key[0] not in measured
        }
        about = {**self.about, "the rest": earlier.about} if kept else self.about
        return Results(about, {**kept, **self.figures}, self.troubles)

    @classmethod
    def read(cls, directory: Path) -> "Results | None":
        """What `write` left there, if it did."""
        path = directory / "results.json"
        return cls.from_json(path.read_text()) if path.exists() else None

    def write(self, directory: Path) -> None:
        """Write ``results.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "results.json").write_text(self.to_json())


def _short(value: float) -> float:
    """Four digits are more than the machine is good for."""
    return float(f"{value:.4g}")
