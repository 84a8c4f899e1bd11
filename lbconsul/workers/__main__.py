"""The program of a worker process: ``python -m lbconsul.workers DIGEST``.

The digest is that of its master's code: another worker could not be trusted to
understand what that says.  Little is imported until it is found to be the same,
and nothing at all before signals are ignored.
"""

import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Serve until the master says so, or is gone; the exit status."""
    # Terminals and service managers send these to the whole group: it is the
    # master who orders the end, and who has the log file that SIGUSR1 is about.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)
    from lbconsul.workers.code_digest import code_digest

    if list(arguments) != [code_digest()]:
        print(
            "the code was changed since the gateway started: restart it",
            file=sys.stderr,
        )
        return 1
    from lbconsul.workers.worker import run

    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
