"""``python -m lbconsul status``: shows the status of a running gateway."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.terminal import Terminal
from lbconsul.text import printable

#: The refresh interval of --watch, in seconds.
INTERVAL = 2.0

#: Exit statuses besides 0: the gateway is not ready; its status cannot be read.
NOT_READY, UNKNOWN = 1, 2

_TOP_AND_CLEAR = "\x1b[H\x1b[J"


def main(
    arguments: Sequence[str] | None = None,
    sleep: Callable[[float], None] = time.sleep,  # noqa: TID251 (no reactor here)
) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        token = (
            Path(options.token_file).read_text().strip() if options.token_file else ""
        )
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not text"
        return _tell(f"--token-file {options.token_file}: {why}")
    admin = Admin(options.admin, token)
    try:
        status = show(admin)
        while options.watch:
            sleep(INTERVAL)
            if sys.stdout.isatty():
                print(_TOP_AND_CLEAR, end="")
            status = show(admin)
    except KeyboardInterrupt:
        print()
    except BrokenPipeError:
        # The reader of stdout is gone: keep Python from failing on its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    return status


def show(admin: Admin) -> int:
    """Print the status of the gateway; returns the exit status."""
    try:
        status = admin.status()
    except CannotAsk as error:
        return _tell(str(error))
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    try:
        lines = "\n".join(Terminal(coloured).lines(status))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return _tell(f"{admin.address}: the answer is not a status of lbconsul")
    print(lines, flush=True)
    return 0 if status["gateway"]["ready"] else NOT_READY


def _tell(why: str) -> int:
    print(f"lbconsul: {printable(why)}", file=sys.stderr)
    return UNKNOWN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lbconsul",
        description="Inspects a running gateway (started by twistd lbconsul).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="show the gateway's status",
        description=(
            "Shows a gateway's status. Exit status: 0 if it is ready, 1 if it is not,"
            " 2 if it cannot be reached."
        ),
    )
    status.add_argument("--watch", action="store_true", help="repeat until interrupted")
    status.add_argument(
        "--admin",
        default="127.0.0.1:9200",
        metavar="ADDRESS",
        help="[HOST:]PORT or unix:/PATH [%(default)s]",
    )
    status.add_argument(
        "--token-file",
        metavar="FILE",
        help=("file that holds the token, if reading needs one"),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
