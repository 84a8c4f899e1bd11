"""One row, as the first process of its namespaces.

usage: python -m chaos.play NAME --home DIRECTORY [--quick] [--minutes N]

It ends with its input, and leaves its report in the home.
"""

import argparse
import faulthandler
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

from chaos import isolation
from chaos.report import Report
from chaos.row import Row
from chaos.rows.all import ROWS
from chaos.scene import Scene

#: What the row leaves in its home.
REPORT = "report.json"

#: So much of a gateway's log tells what went wrong, in characters.
_TAIL = 20_000

#: The gateway's line per connection, left out of the row's output.
_CONNECTION = re.compile(r"^.* retries=\d+ \S\S\n", re.MULTILINE)

_WORDS = 300


def main() -> None:
    """Play it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=ROWS)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float)
    told = parser.parse_args()
    threading.Thread(target=_end_with_input, args=(told.home,), daemon=True).start()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    isolation.settle()
    # Killed processes leave files behind: they go with the home.
    tempfile.tempdir = str(told.home)
    row = ROWS[told.name]
    report = Report(row.name, row.done)
    play(row, Scene(told.home, told.quick, report, ExitStack(), told.minutes))
    (told.home / REPORT).write_text(report.to_json())


def play(row: Row, scene: Scene) -> None:
    """Fill the scene's report, whatever happens."""
    begun = time.monotonic()
    try:
        with scene.stack:
            row.play(scene)
    except Exception as error:
        traceback.print_exc()
        scene.report.trouble = _words(error)
    scene.report.lasted = time.monotonic() - begun
    if not scene.report.met:
        _tell(scene)


def _tell(scene: Scene) -> None:
    print(f"\n{scene.report.line()}")
    for each in scene.gateways:
        print(f"\n--- {each.home.name}: {' '.join(each.arguments)}")
        print(_CONNECTION.sub("", each.log())[-_TAIL:])
    sys.stdout.flush()


def _words(error: Exception) -> str:
    words = " ".join(str(error).split())
    if len(words) > _WORDS:
        words = f"{words[: _WORDS // 2]} ... {words[-_WORDS // 2 :]}"
    return f"{type(error).__name__}: {words}"


def _end_with_input(home: Path) -> None:
    while os.read(0, 1024):
        pass
    # Who started us may be dead.
    shutil.rmtree(home, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
