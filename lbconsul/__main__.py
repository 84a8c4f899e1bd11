"""``python -m lbconsul status`` and ``why``: ask a running gateway."""

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

#: Exit statuses besides 0: the gateway is not ready, or no instance gets the request;
#: the gateway cannot be asked.
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
        if options.command == "why":
            return explain(admin, options.url, options.method, options.header)
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


def explain(admin: Admin, url: str, method: str, fields: Sequence[str]) -> int:
    """Print which route a request takes, and why; returns the exit status."""
    try:
        why = admin.why(url, method, fields)
    except CannotAsk as error:
        return _tell(str(error))
    try:
        lines = [printable(each) for each in why["text"].splitlines()]
        is_served = any(
            each["winner"] and not each["reason"] for each in why["mappings"]
        )
    except (LookupError, TypeError, AttributeError):
        return _tell(f"{admin.address}: the answer is not lbconsul's")
    print("\n".join(lines), flush=True)
    return 0 if is_served else NOT_READY


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
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="show the gateway's status",
        description=(
            "Shows a gateway's status. Exit status: 0 if it is ready, 1 if it is not,"
            " 2 if it cannot be reached."
        ),
    )
    status.add_argument("--watch", action="store_true", help="repeat until interrupted")
    why = commands.add_parser(
        "why",
        help="show which route a request takes, and why",
        description=(
            "Shows each route that a request could take, and which takes it. Nothing"
            " is sent to an instance. Exit status: 0 if the request is served or"
            " redirected, 1 if it is not, 2 if the gateway cannot be asked."
        ),
    )
    why.add_argument("url", metavar="URL", help="as a client has it: http://HOST/PATH")
    why.add_argument("-X", "--method", default="GET", help="[%(default)s]")
    why.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a field of the request; may be given more than once",
    )
    for each in (status, why):
        _add_access(each)
    return parser


def _add_access(command: argparse.ArgumentParser) -> None:
    """Add the options that say which gateway is asked."""
    command.add_argument(
        "--admin",
        default="127.0.0.1:9200",
        metavar="ADDRESS",
        help="[HOST:]PORT or unix:/PATH [%(default)s]",
    )
    command.add_argument(
        "--token-file",
        metavar="FILE",
        help="file that holds the token, if reading needs one",
    )


if __name__ == "__main__":
    sys.exit(main())
