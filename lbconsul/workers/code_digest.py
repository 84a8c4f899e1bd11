"""The digest of this code: a worker must run the same code as its master."""

import hashlib
import sys
from pathlib import Path

#: The directory of the lbconsul package.
PACKAGE = Path(__file__).parents[1]


def code_digest(package: Path = PACKAGE) -> str:
    """A digest of the package's modules and of the Python version that runs them."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(package)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
