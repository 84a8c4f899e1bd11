"""The table at the end."""

from chaos.report import Report
from chaos.table import summary, table


def test_a_line_for_each_row() -> None:
    """What would end a cell is escaped; what was not run has no figures."""
    one = Report("one", "a|b", 3.2, 1000, 2)
    one.note("rate", 5, "/s")
    two = Report("two", "c", lacking="nft is missing")
    assert table([one, two]).splitlines()[2:] == [
        "| one | a\\|b | 3 s | 1,000 | 2 | rate 5 /s | met |",
        "| two | c |  |  |  |  | NOT RUN (nft is missing) |",
    ]


def test_summary() -> None:
    """A row that was not run is not met, and counts apart."""
    reports = [Report("a", ""), Report("b", "", trouble="x")]
    assert summary(reports) == "1 of 2 rows met"
    reports.append(Report("c", "", lacking="x"))
    assert summary(reports) == "1 of 3 rows met, 1 not run"
