"""What is said of a row."""

import pytest

from chaos.report import Report, percentile, said


def test_a_row_is_met_when_every_figure_is() -> None:
    """Figures of which nothing is required do not count."""
    report = Report("name", "what is done", 12.3)
    report.count(1234, failed=5)
    report.note("rate", 250.0, "/s")
    report.at_most("failed of new ones", 0, 0)
    report.at_least("served", 3, 3)
    assert report.met
    assert report.line() == (
        "name: what is done | 12 s | 1,234 requests, 5 failed"
        " | rate 250 /s, failed of new ones 0, served 3 | met"
    )


def test_what_is_missed_is_told_with_what_is_required() -> None:
    """The figures that are not as they must be stand in the verdict only."""
    report = Report("name", "what is done", 12.3)
    report.at_most("recovered after", 2.5, 2.0, "s")
    report.at_least("requests", 7, 50)
    report.require("log tells", False)
    report.count(7, wrong=1)
    assert not report.met
    assert report.line() == (
        "name: what is done | 12 s | 7 requests, 0 failed, 1 wrong | NOT MET"
        " (recovered after 2.50 s (required <= 2 s); requests 7 (required >= 50);"
        " log tells no (required yes))"
    )


def test_a_row_that_broke_off_is_not_met() -> None:
    """Even if all figures that it came to are fine."""
    report = Report("name", "what is done", trouble="OSError: no")
    report.at_most("failed", 0, 0)
    assert not report.met
    assert report.verdict == "NOT MET (OSError: no)"


def test_a_row_that_was_not_run_is_not_met() -> None:
    """A row that was not run says what is missing, and shows no figures."""
    report = Report("name", "what is done", lacking="nft is missing")
    assert not report.met
    assert report.line() == "name: what is done | NOT RUN (nft is missing)"


def test_a_report_survives_the_way_between_processes() -> None:
    """All of it."""
    report = Report("name", "what is done", 1.0, 2, 3, 4, [], "trouble", "lacking")
    report.at_most("failed", 1, 0)
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (7.0, "7"), (12.34, "12.3"), (12345.6, "12,346")],
)
def test_numbers_have_some_three_digits(value: float, text: str) -> None:
    """A whole number has all of its digits."""
    assert said(value) == text


def test_percentile() -> None:
    """The value below which that share of them are."""
    assert percentile(range(100), 0.99) == 99
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([], 0.99) == 0.0
