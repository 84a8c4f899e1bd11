"""``python -m chaos.soak --minutes N``: the row `soak` alone, for long."""

import argparse
import sys
from pathlib import Path

from chaos.playing import Form
from chaos.rows.all import ROWS
from chaos.suite import run

#: The default length in minutes.
LONG = 120.0

#: Where it writes its results.
RESULTS = Path("chaos/results/soak")


def main() -> None:
    """Soak as long as the option says."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=LONG)
    told = parser.parse_args()
    sys.exit(run([ROWS["soak"]], Form(minutes=told.minutes), RESULTS))


if __name__ == "__main__":
    main()
