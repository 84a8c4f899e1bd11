"""``python -m chaos``: break things, print what came of it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

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
    sys.exit(run(rows, Form(told.quick), RESULTS if whole else None))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within eight minutes")
    parser.add_argument("--list", action="store_true", help="name the rows, and end")
    parser.add_argument(
        "--only", nargs="+", action="extend", choices=ROWS, metavar="NAME",
        help="only these rows; nothing is written",
    )  # fmt: skip
    return parser.parse_args(arguments)


def chosen(only: Sequence[str] | None, quick: bool = False) -> list[Row]:
    """The rows to play, in their order."""
    if only:
        return [row for name, row in ROWS.items() if name in only]
    return [row for row in ROWS.values() if not (quick and row.only_full)]


if __name__ == "__main__":
    main()
