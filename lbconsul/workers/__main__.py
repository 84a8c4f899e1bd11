"""The program of a worker process: ``python -m lbconsul.workers DIGEST``.

DIGEST is that of the master's code: a worker with other code could misread the master's
messages.  The worker ignores signals before it imports anything, and checks the digest
before it imports the rest.
"""

import signal
import sys
from collections.abc import Sequence

_OF_THE_MASTER = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def main(arguments: Sequence[str]) -> int:
    """Serve until the master stops this worker or is gone; return the exit status."""
    # Terminals and service managers send these to the whole process group.  The master
    # stops its workers itself, and only the master has the log file that SIGUSR1
    # reopens.
    for each in _OF_THE_MASTER:
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
