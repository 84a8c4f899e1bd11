"""``python -m lbconsul``: the command ``lbconsul``, where that is not installed."""

import os
import sys

if __name__ == "__main__":
    # -m puts the working directory first: its modules are not to be imported, unless
    # it is where this package is.
    if not sys.flags.safe_path and sys.path[0] != os.path.dirname(
        os.path.dirname(os.path.abspath(__file__))
    ):
        del sys.path[0]

    from lbconsul.console.main import main

    sys.exit(main())
