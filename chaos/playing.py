"""Rows that are being played, each in a process with namespaces of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from attrs import define, frozen

from chaos import isolation
from chaos.missing import lacking
from chaos.play import REPORT
from chaos.report import Report
from chaos.row import Row
from tests.support.binaries import REPOSITORY

#: Where the log of a row that was not met is kept.
LOGS = REPOSITORY / ".cache" / "chaos"


@frozen
class Form:
    """How rows are to be played."""

    quick: bool = False
    #: How long the soak is to last, if it was said.
    minutes: float | None = None

    def limit(self, row: Row) -> float:
        """Seconds after which a row hangs."""
        return (row.limit if self.minutes is None else self.minutes * 60) + 60.0

    def arguments(self) -> list[str]:
        """What to tell the row's process."""
        quick = ["--quick"] if self.quick else []
        return quick if self.minutes is None else [*quick, f"--minutes={self.minutes}"]


@define(eq=False)
class Playing:
    """A row whose process runs; as a context manager it is killed at the end."""

    row: Row
    form: Form
    _home: Path
    _process: subprocess.Popen[bytes]
    _begun: float

    def __enter__(self) -> "Playing":
        return self

    def __exit__(self, *error: object) -> None:
        # Whatever runs in the namespaces ends with it.
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def result(self) -> Report:
        """Wait for its end; its report."""
        report = Report(self.row.name, self.row.done)
        limit = self.form.limit(self.row)
        try:
            self._process.wait(max(1.0, self._begun + limit - time.monotonic()))
            report = Report.from_json((self._home / REPORT).read_text())
        except subprocess.TimeoutExpired:
            report.trouble = f"it did not end within {limit:.0f} s"
        except (OSError, ValueError):
            report.trouble = f"its process ended with {self._process.returncode}"
        report.lasted = report.lasted or time.monotonic() - self._begun
        self._keep_log(report)
        return report

    def _keep_log(self, report: Report) -> None:
        kept = LOGS / f"{self.row.name}.log"
        with suppress(OSError):
            kept.unlink()
        if not report.met:
            LOGS.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._home / "output.txt", kept)


def begin(row: Row, form: Form) -> Playing:
    """Start to play a row."""
    home = Path(tempfile.mkdtemp(prefix="lbconsul-chaos-"))
    told = [row.name, f"--home={home}", *form.arguments()]
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*isolation.command(), sys.executable, "-m", "chaos.play", *told],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            # Its end is the row's, also when we are killed.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us: we end it ourselves.
            start_new_session=True,
        )
    return Playing(row, form, home, process, time.monotonic())


def not_run(row: Row) -> Report | None:
    """The report of a row that cannot be played here; None if it can be."""
    why = lacking(row)
    return Report(row.name, row.done, lacking=why) if why else None
