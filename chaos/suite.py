"""Play rows one after the other, and tell what came of them."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from chaos import results
from chaos.playing import LOGS, Form, Playing, begin, not_run
from chaos.report import Report
from chaos.row import Row
from chaos.table import summary, table

#: The exit status after Ctrl-C, as a shell has it.
INTERRUPTED = 130


Write = Callable[[Path, Sequence[Report]], None]


def run(
    rows: Sequence[Row],
    form: Form,
    output: Path | None,
    write: Write = results.write,
) -> int:
    """The exit status: 0 if all rows are met; then `write` has written to `output`."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, _interrupt)
    reports: list[Report] = []
    interrupted = False
    try:
        for report in play_all(rows, form):
            print(report.line(), flush=True)
            reports.append(report)
    except KeyboardInterrupt:
        interrupted = True
        print("chaos: interrupted: what follows is not all", file=sys.stderr)
    order = [row.name for row in rows]
    reports.sort(key=lambda report: order.index(report.name))
    print(f"\n{table(reports)}\n{summary(reports)}")
    if not all(each.met for each in reports):
        print(f"the logs of what was not met are in {LOGS}")
    if interrupted:
        return INTERRUPTED
    if output is not None:
        write(output, reports)
        print(f"written to {output}")
    return 0 if all(each.met for each in reports) else 1


def play_all(rows: Sequence[Row], form: Form) -> Iterator[Report]:
    """The report of each row, as soon as there is one."""
    with ExitStack() as stack:
        beside: list[Playing] = [
            stack.enter_context(begin(row, form))
            for row in rows
            if form.quick and row.waits and len(rows) > 1 and not not_run(row)
        ]
        waiting = {each.row.name for each in beside}
        for row in rows:
            if row.name not in waiting:
                yield _played(row, form)
        for each in beside:
            yield each.result()


def _played(row: Row, form: Form) -> Report:
    if report := not_run(row):
        return report
    with begin(row, form) as playing:
        return playing.result()


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Once: the second Ctrl-C must not keep us from ending our programs."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
    raise KeyboardInterrupt
