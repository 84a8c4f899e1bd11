"""Which code this is: a worker must run the same as its master."""

import hashlib
import sys
from pathlib import Path

#: Where our package lies.
PACKAGE = Path(__file__).parents[1]


def code_digest(package: Path = PACKAGE) -> str:
    """A name for what its modules say, and for the Python that runs them."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(package)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
