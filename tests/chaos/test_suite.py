"""How the suite goes on, whatever becomes of its rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chaos import results, suite
from chaos.playing import Form
from chaos.report import Report
from chaos.row import Row
from chaos.scene import Scene


def nothing(scene: Scene) -> None:
    """A row that does nothing."""


ROWS = [Row("one", "a", nothing), Row("two", "b", nothing)]


def run(
    monkeypatch: pytest.MonkeyPatch, reports: Sequence[Report | KeyboardInterrupt]
) -> int:
    """The exit status of a suite whose rows have these reports."""

    def played(rows: Sequence[Row], form: Form) -> Iterator[Report]:
        for report in reports:
            if isinstance(report, KeyboardInterrupt):
                raise report
            yield report

    monkeypatch.setattr(suite, "play_all", played)
    monkeypatch.setattr("signal.signal", lambda *of: None)
    return suite.run(ROWS, Form(), None)


def test_all_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines come as rows are over, the table in the order of the suite."""
    assert run(monkeypatch, [Report("two", "b"), Report("one", "a")]) == 0
    said = capsys.readouterr().out
    assert said.index("two: b |") < said.index("one: a |")
    assert said.index("| one |") < said.index("| two |")


def test_one_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a row that was not run."""
    assert run(monkeypatch, [Report("one", "a", trouble="x"), Report("two", "b")]) == 1
    assert run(monkeypatch, [Report("one", "a", lacking="x"), Report("two", "b")]) == 1


def test_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results are printed, and the exit status is a shell's."""
    assert run(monkeypatch, [Report("one", "a"), KeyboardInterrupt()]) == 130
    assert "1 of 1 rows met" in capsys.readouterr().out


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table for people, and everything for programs."""
    monkeypatch.setattr(results, "about", lambda: {"kernel": "6.1"})
    results.write(tmp_path / "results", [Report("one", "a")])
    page = (tmp_path / "results" / "tables.md").read_text()
    assert page.startswith("1 of 1 rows met (kernel 6.1).\n\n| row |")
    assert '"verdict": "met"' in (tmp_path / "results" / "results.json").read_text()


def test_results_of_rows_played_by_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They replace those of the whole suite, or are new, each with its own date."""
    days = iter(["Monday", "Tuesday", "Wednesday"])
    monkeypatch.setattr(results, "about", lambda: {"date": next(days)})
    results.write(tmp_path, [Report("one", "a", trouble="x"), Report("three", "c")])
    order = ["one", "two", "three"]
    results.update(tmp_path, [Report("two", "b", requests=7)], order)
    results.update(tmp_path, [Report("one", "a")], order)
    head, by_themselves, again, table = (
        (tmp_path / "tables.md").read_text().split("\n\n", 3)
    )
    assert head == "3 of 3 rows met (date Monday)."
    assert by_themselves == "Played by themselves: two (date Tuesday)."
    assert again == "Played by themselves: one (date Wednesday)."
    places = [table.index(f"| {name} |") for name in order]
    assert places == sorted(places)
