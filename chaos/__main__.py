"""``python -m chaos``: break things, print what came of it."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chaos import results
from chaos.playing import Form
from chaos.row import Row
from chaos.rows.all import ROWS
from chaos.suite import run

#: Where a full run writes its results.
RESULTS = Path("chaos/results")


def main() -> None:
    """Play what the options ask for."""
    told = parse()
    if told.list:
        print("\n".join(f"{row.name:24} {row.done}" for row in ROWS.values()))
        return
    whole = not (told.quick or told.only)
    rows = chosen(told.only, told.quick)
    output = RESULTS if whole or told.update else None
    write = partial(results.update, order=list(ROWS)) if told.update else results.write
    sys.exit(run(rows, Form(told.quick), output, write))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within eight minutes")
    parser.add_argument("--list", action="store_true", help="name the rows, and end")
    parser.add_argument(
        "--only", nargs="+", action="extend", choices=ROWS, metavar="NAME",
        help="only these rows; nothing is written without --update",
    )  # fmt: skip
    parser.add_argument("--update", action="store_true",
        help="with --only: replace these rows in the results",
    )  # fmt: skip
    told = parser.parse_args(arguments)
    if told.update and (told.quick or not told.only):
        parser.error("--update needs --only, and rows in full")
    return told


def chosen(only: Sequence[str] | None, quick: bool = False) -> list[Row]:
    """The rows to play, in their order."""
    if only:
        return [row for name, row in ROWS.items() if name in only]
    return [row for row in ROWS.values() if not (quick and row.only_full)]


if __name__ == "__main__":
    main()
