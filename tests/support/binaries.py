"""Where the programs are that the tests run beside us."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

#: Where `make sslyze` puts it.
SSLYZE = REPOSITORY / ".cache" / "sslyze" / "bin" / "sslyze"


def find_consul() -> str | None:
    """The Consul binary to test against: $CONSUL, else the fetched one, else none."""
    if named := os.environ.get("CONSUL"):
        return named
    fetched = REPOSITORY / ".cache" / "consul" / "usr" / "bin" / "consul"
    return str(fetched) if os.access(fetched, os.X_OK) else None
