"""The results as Markdown."""

from collections.abc import Sequence

from chaos.report import Report

_HEAD = ("row", "what is done", "time", "requests", "failed", "figures", "verdict")


def table(reports: Sequence[Report]) -> str:
    """A line for each row."""
    lines = [_HEAD, ["---", "---", "---:", "---:", "---:", "---", "---"]]
    lines += map(_cells, reports)
    return "".join(f"| {' | '.join(map(_cell, each))} |\n" for each in lines)


def summary(reports: Sequence[Report]) -> str:
    """How many are met, in words."""
    met = sum(each.met for each in reports)
    missing = sum(bool(each.lacking) for each in reports)
    text = f"{met} of {len(reports)} rows met"
    return f"{text}, {missing} not run" if missing else text


def _cells(report: Report) -> list[str]:
    if report.lacking:
        return [report.name, report.done, "", "", "", "", report.verdict]
    failed = f"{report.failed:,}"
    if report.wrong:
        failed += f", {report.wrong:,} wrong"
    lasted = f"{report.lasted:.0f} s"
    counted = f"{report.requests:,}"
    return [
        *(report.name, report.done, lasted, counted, failed),
        report.listed(),
        report.verdict,
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
