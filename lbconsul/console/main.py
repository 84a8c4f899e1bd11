"""The program: finds the command, runs it, and reports errors in one line."""

import os
import sys
from collections.abc import Sequence

#: Exit statuses besides 0: what was asked is not so, or run and check have failed; a
#: gateway cannot be asked, or the command line is wrong; interrupted before it was
#: done.
FAILED, UNKNOWN, INTERRUPTED = 1, 2, 130

_SERVING = ("run", "check")

#: Commands that go on until they are interrupted.
_SHOWING = ("status", "top", "events")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    name, *words = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name == "run":
        # First of all: a signal may arrive while the rest is imported.
        from lbconsul.process.early_signals import early_signals

        early_signals.install()
    try:
        return _run(name, words)
    except KeyboardInterrupt:
        print()
        return 0 if name in _SHOWING else INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout is gone: keep Python from failing on its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN


def _run(name: str, words: list[str]) -> int:
    from lbconsul.errors import LBConsulError
    from lbconsul.text import printable

    try:
        return _command(name, words)
    except LBConsulError as error:
        text = " ".join(str(error).split("\n"))
        print(f"lbconsul: {printable(text)}", file=sys.stderr)
        return FAILED if name in _SERVING else UNKNOWN


def _command(name: str, words: list[str]) -> int:
    """Run one command.

    :raises LBConsulError: it fails, with one line for the operator.
    """
    # Each command imports what it needs: a gateway needs no client, and a client
    # neither Twisted nor a reactor.
    if name in _SERVING:
        from lbconsul.console.serve import serve

        return serve(name, words)
    from lbconsul.console.ask import ask

    return ask(name, words)
